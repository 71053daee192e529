"""The demo's two models, in numpy: the student (a small neural network) and the teacher (logistic regression)."""

import numpy as np

from digits import CLASSES, PIXELS

HIDDEN = 64
LEARNING_RATE = 0.05
MOMENTUM = 0.9


def log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def softmax_gradient(logits, labels):
    """Gradient of the mean cross entropy by the logits, [n, classes]."""
    gradient = np.exp(log_softmax(logits))
    gradient[np.arange(len(labels)), labels] -= 1.0
    return gradient / len(labels)


class Student:
    """64 inputs, 64 hidden units (ReLU), 10 classes; SGD with momentum and a cosine learning rate.

    `state()` is all of it: parameters, velocities and the number of steps done, so that training goes on
    from a checkpoint as if it had never stopped.
    """

    def __init__(self, seed, total_steps):
        rng = np.random.default_rng(seed)
        self.total_steps = total_steps
        self.step = 0
        self.parameters = [
            rng.normal(0.0, np.sqrt(2.0 / PIXELS), (PIXELS, HIDDEN)),
            np.zeros(HIDDEN),
            rng.normal(0.0, np.sqrt(2.0 / HIDDEN), (HIDDEN, CLASSES)),
            np.zeros(CLASSES),
        ]
        self.velocities = [np.zeros_like(p) for p in self.parameters]

    def forward(self, features):
        w1, b1, w2, b2 = self.parameters
        hidden = np.maximum(features @ w1 + b1, 0.0)
        return hidden, hidden @ w2 + b2

    def train(self, features, labels):
        """One step on one batch. The learning rate falls to 0 over the whole run, whatever the phases are."""
        hidden, logits = self.forward(features)
        d_logits = softmax_gradient(logits, labels)
        d_hidden = (d_logits @ self.parameters[2].T) * (hidden > 0.0)
        gradients = [features.T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_logits, d_logits.sum(axis=0)]
        rate = LEARNING_RATE * 0.5 * (1.0 + np.cos(np.pi * self.step / self.total_steps))
        for parameter, velocity, gradient in zip(self.parameters, self.velocities, gradients):
            velocity *= MOMENTUM
            velocity += gradient
            parameter -= rate * velocity
        self.step += 1

    def accuracy(self, features, labels):
        return float((self.forward(features)[1].argmax(axis=1) == labels).mean())

    def state(self):
        arrays = {f"parameter{i}": p for i, p in enumerate(self.parameters)}
        arrays.update({f"velocity{i}": v for i, v in enumerate(self.velocities)})
        return {**arrays, "step": np.int64(self.step)}

    def restore(self, state):
        self.parameters = [state[f"parameter{i}"].copy() for i in range(4)]
        self.velocities = [state[f"velocity{i}"].copy() for i in range(4)]
        self.step = int(state["step"])


def fit_logistic_regression(features, labels, penalty=1.0, iterations=300):
    """Multinomial logistic regression with an L2 penalty on the weights (not the offsets), by Nesterov's method.

    Minimises sum of cross entropies + penalty/2 * |weights|^2, as scikit-learn does with C = 1/penalty.
    """
    inputs = np.column_stack([features, np.ones(len(features))])
    weights = np.zeros((inputs.shape[1], CLASSES))
    ridge = np.full((inputs.shape[1], 1), penalty)
    ridge[-1] = 0.0
    # The loss curves at most by half the largest eigenvalue of X'X (Boehning 1992), plus the penalty.
    rate = 1.0 / (0.5 * np.linalg.eigvalsh(inputs.T @ inputs)[-1] + penalty)
    ahead, before = weights, weights
    for t in range(iterations):
        gradient = inputs.T @ softmax_gradient(inputs @ ahead, labels) * len(labels) + ridge * ahead
        weights = ahead - rate * gradient
        ahead = weights + t / (t + 3.0) * (weights - before)
        before = weights
    return weights


def cross_fitted_losses(features, labels, seed, folds=5):
    """Loss of each row under a teacher that was fitted to the other folds: [n]; high where a label looks wrong."""
    fold = np.random.default_rng(seed).permutation(len(labels)) % folds
    losses = np.empty(len(labels))
    for held_out in range(folds):
        inside, outside = fold != held_out, fold == held_out
        weights = fit_logistic_regression(features[inside], labels[inside])
        inputs = np.column_stack([features[outside], np.ones(outside.sum())])
        losses[outside] = -log_softmax(inputs @ weights)[np.arange(outside.sum()), labels[outside]]
    return losses
