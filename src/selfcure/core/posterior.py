"""How likely a given label is wrong, from pooled predictions: the arithmetic of the method ``cure``.

A label is drawn from the true class by the noise, T[k, y] = P(given y | true k), and the network says how likely each
class is. Bayes' rule joins the two: q(k) ∝ p(k)·T[k, y]. T is not known. It is read off where the network is surest: the
images whose class is plain show how often their given label says something else.
"""

import torch
from torch import Tensor

_SHARPNESS = torch.arange(2, 25) / 4  # 0.5 … 6
_MAX_FOR_FIT = 20_000
_EPS = 1e-6


def transition_matrix(
    probs: Tensor, labels: Tensor, *, top_share: float = 0.1, prior: float = 20.0
) -> Tensor:
    """P(given label | true class), [K, K] with rows of sum 1, from the images that the network is surest of.

    Of the images predicted as class k the ``top_share`` with the highest probability stand for class k, and their given
    labels are counted. ``prior`` counts are added to every row, as if noise struck all classes at the rate found overall
    and uniformly, so a class that is hardly predicted falls back on that. Anchor points: Patrini et al., CVPR 2017; here
    many per class, and their labels instead of their probabilities.

    Args:
        probs: [N, K] pooled predictions.
        labels: [N] given labels.

    One of the ten surest images has another label, and the prior of one count says the same:

    >>> probs = torch.tensor([[0.9, 0.1]] * 10 + [[0.1, 0.9]] * 10)
    >>> labels = torch.tensor([0] * 9 + [1] + [1] * 9 + [0])
    >>> transition_matrix(probs, labels, top_share=1.0, prior=1.0)
    tensor([[0.9000, 0.1000],
            [0.1000, 0.9000]])
    """
    num_classes = probs.shape[1]
    confidence, prediction = probs.max(dim=1)
    counts = probs.new_zeros(num_classes, num_classes)
    for label in range(num_classes):
        rows = (prediction == label).nonzero().squeeze(1)
        surest = rows[confidence[rows].argsort(descending=True)[: -int(-top_share * len(rows) // 1)]]
        counts[label] = labels[surest].bincount(minlength=num_classes)
    rate = 1 - counts.diagonal().sum() / counts.sum().clamp(min=1)
    overall = (rate / (num_classes - 1)).expand(num_classes, num_classes).clone()
    overall.fill_diagonal_(float(1 - rate))
    counts = counts + prior * overall
    return counts / counts.sum(dim=1, keepdim=True)


def error_rates(probs: Tensor, labels: Tensor, transition: Tensor) -> tuple[float, float]:
    """How often the network errs, and how often the labels do; both 0 … 1 and estimated without the truth.

    The labels' rate is that of ``transition`` for the predicted classes. What they disagree beyond it is the network's
    error, if both err independently: P(agree) = (1 − network)·(1 − labels), but for errors that coincide.

    Half of the labels agree with the prediction, and a fifth is noise: 0.5 = (1 − 0.375)·0.8:

    >>> probs = torch.tensor([[0.9, 0.1]] * 4)
    >>> error_rates(probs, torch.tensor([0, 0, 1, 1]), torch.tensor([[0.8, 0.2], [0.2, 0.8]]))
    (0.375, 0.2)
    """
    prediction = probs.argmax(dim=1)
    agreement = float((prediction == labels).double().mean())
    kept = float(transition.diagonal()[prediction].double().mean())
    if kept == 0:  # not one label of the surest images is as predicted: nothing to tell the two apart by
        return 1.0, 1.0
    return max(0.0, round(1 - agreement / kept, 6)), round(1 - kept, 6)


def sharpness(probs: Tensor, labels: Tensor, transition: Tensor) -> float:
    """The exponent s for which p^s, normalised, explains the given labels best: Σ log Σ_k p_s(k)·T[k, y] is largest.

    A network trained on noisy labels is less sure of the true class than it could be; s > 1 undoes that, without the
    truth. Searched on a grid from 0.5 to 6, on at most 20,000 samples evenly spaced.

    Labels that always follow the prediction ask for the sharpest:

    >>> probs, labels = torch.tensor([[0.6, 0.4], [0.4, 0.6]]), torch.tensor([0, 1])
    >>> sharpness(probs, labels, torch.eye(2))
    6.0
    """
    step = -(-len(labels) // _MAX_FOR_FIT)
    logs, likelihood = probs[::step].clamp(min=_EPS).log(), transition.T[labels[::step]]  # [n, K] each
    fits = torch.stack(
        [((s * logs).softmax(dim=1) * likelihood).sum(dim=1).clamp(min=_EPS).log().mean() for s in _SHARPNESS]
    )
    return float(_SHARPNESS[fits.argmax()])


def label_posterior(probs: Tensor, labels: Tensor, transition: Tensor, sharpness: float) -> Tensor:
    """P(true class | image, given label), [N, K]: q(k) ∝ p(k)^s · T[k, y].

    The given label is ten times as likely from its own class, so a prediction of 1 : 3 against it does not turn it:

    >>> transition = torch.tensor([[10, 1], [1, 10]]) / 11
    >>> label_posterior(torch.tensor([[0.25, 0.75]]), torch.tensor([0]), transition, 1.0)
    tensor([[0.7692, 0.2308]])
    """
    scores = sharpness * probs.clamp(min=_EPS).log() + transition.clamp(min=_EPS).log().T[labels]
    return scores.softmax(dim=1)


def change_threshold(posterior: Tensor, labels: Tensor, budget: float) -> float:
    """The probability of the given label below which it is changed to the most probable class.

    As high as it can be while the labels expected to be right and changed nevertheless stay under ``budget`` of all
    that are expected to be right. 0: change none.

    Args:
        posterior: [N, K], see :func:`label_posterior`.
        labels: [N] given labels.
        budget: share, 0 … 1.

    The two changes would break 0.1 and 0.4 of a label; 10 % of the 2.5 right ones allow only the first:

    >>> posterior = torch.tensor([[0.1, 0.9], [0.4, 0.6], [1.0, 0.0], [1.0, 0.0]])
    >>> change_threshold(posterior, torch.tensor([0, 0, 0, 0]), 0.1)
    0.25
    """
    given = posterior.gather(1, labels[:, None]).squeeze(1)
    changed = given[posterior.argmax(dim=1) != labels].sort().values
    allowed = int((changed.double().cumsum(0) <= budget * given.double().sum()).sum())
    if allowed == 0:
        return 0.0
    beyond = changed[allowed] if allowed < len(changed) else changed.new_tensor(1.0)
    return float((changed[allowed - 1] + beyond) / 2)
