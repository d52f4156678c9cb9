"""Classification of clips with trained models."""

from karsl.inference.recognizer import Candidate, Prediction, Recognizer
from karsl.inference.stored_config import ModelDescription
from karsl.inference.streaming import Decision, StreamingRecognizer

__all__ = ["Candidate", "Decision", "ModelDescription", "Prediction", "Recognizer", "StreamingRecognizer"]
