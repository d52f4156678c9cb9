"""Classification of clips with trained models."""

from karsl.inference.recognizer import Candidate, Prediction, Recognizer
from karsl.inference.stored_config import ModelDescription

__all__ = ["Candidate", "ModelDescription", "Prediction", "Recognizer"]
