"""How surprised is a language model by a row? The mean negative log-likelihood of its text, or the cross-entropy of its label."""
