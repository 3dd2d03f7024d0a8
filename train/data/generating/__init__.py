"""`train data generate`: rows written by a model, from a plan, from documents, or from rows."""
