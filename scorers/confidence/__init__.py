"""How sure is a model of a row's label that was not fitted to the row? Cross-fitted logistic regression on the columns of the data set."""
