"""Batches from worker to parent over shared memory that is used again. The way in is `batch.batch_buffer`."""
