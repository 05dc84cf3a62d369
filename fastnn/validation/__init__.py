"""How good a model is on data that it has not seen: cross-validation and scores."""

from fastnn.validation.cross_validation import cross_validate
from fastnn.validation.grid_search import grid_search
from fastnn.validation.metrics import classification_scores, confusion_matrix

__all__ = ["classification_scores", "confusion_matrix", "cross_validate", "grid_search"]
