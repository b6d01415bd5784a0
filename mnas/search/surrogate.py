"""How good networks will be, with uncertainty, from those that were scored: a Gaussian process.

Over encodings and sizes (Rasmussen and Williams 2006, chapter 2). Its kernel is a sum of four
beliefs: scores have a level; each option of each choice adds its part; log parameters and log MACs
add theirs, linearly; networks that differ in few choices are alike beyond that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint8]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the process sees of n networks.

    Attributes:
        options: (n, columns) one-hot options: a product is how many choices agree, exactly.
        sizes: (n, 2) log parameters and log MACs, standardised.
    """

    options: NDArray[np.float32]
    sizes: Numbers

    def __len__(self) -> int:
        return len(self.options)

    def __getitem__(self, chosen: NDArray[np.intp] | slice) -> "Inputs":
        return Inputs(options=self.options[chosen], sizes=self.sizes[chosen])

    def stacked(self, other: "Inputs") -> "Inputs":
        """These, then others."""
        return Inputs(
            np.concatenate([self.options, other.options]),
            np.concatenate([self.sizes, other.sizes]),
        )


class Beliefs(NamedTuple):
    """Hyperparameters, relative to the variance of all.

    Attributes:
        alike: Variance of what is beyond options and sizes.
        reach: Choices in which networks differ until they are alike by 1 / e.
        noise: Variance of a score's noise.
        scale: Variance of all.
    """

    alike: float
    reach: float
    noise: float
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Turns encodings and sizes into what the process sees.

    Attributes:
        radices: (d,) options of each choice.
        middle: (2,) of the sizes.
        spread: (2,) of the sizes; above 0.
    """

    radices: Rows
    middle: Numbers
    spread: Numbers

    def __call__(self, rows: Rows, active: NDArray[np.bool_], sizes: Numbers) -> Inputs:
        """Inactive choices are an option of their own."""
        starts = np.concatenate([[0], np.cumsum(self.radices.astype(np.intp) + 1)])
        columns = starts[:-1] + np.where(active, rows, self.radices)
        options = np.zeros((len(rows), int(starts[-1])), np.float32)
        options[np.arange(len(rows))[:, None], columns] = 1
        return Inputs(options, (sizes - self.middle) / self.spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surrogate:
    """A fitted process; made by `fit`.

    Attributes:
        inputs: Of the networks it was fitted on.
        beliefs: The hyperparameters.
        choices: Number of choices of the space.
        whitening: (n, n) inverse of the Cholesky factor of the covariance of the scores.
        whitened: (n,) the scores, whitened by it.
        fitted: What it expects of the networks with a score, without their noise.
    """

    inputs: Inputs
    beliefs: Beliefs
    choices: int
    whitening: Numbers
    whitened: Numbers
    fitted: Numbers

    def predict(self, inputs: Inputs) -> "Outlook":
        """What is to be expected of the true scores of n networks."""
        from scipy.linalg.blas import dtrmm

        across = _covariance(self.inputs, inputs, self.beliefs, self.choices)
        # The transposes are how Fortran sees these arrays: nothing is copied.
        seen: Numbers = dtrmm(1.0, self.whitening.T, across.T, side=1).T
        prior = 2 + self.beliefs.alike + np.sum(inputs.sizes**2, axis=1)
        return Outlook(
            inputs=inputs,
            model=self,
            means=seen.T @ self.whitened,
            variances=prior - np.sum(seen**2, axis=0),
            seen=seen,
        )

    def believing(self, inputs: Inputs) -> "Surrogate":
        """The process as if p more networks had come out as expected: only less is uncertain.

        Ginsbourger, Le Riche and Carraro 2010, section 4.2, the kriging believer. What comes out
        as expected is 0 when whitened, and the rows above stay as they are.
        """
        from scipy.linalg.lapack import dtrtri

        count, beliefs = len(self.inputs), self.beliefs
        seen = self.whitening @ _covariance(self.inputs, inputs, beliefs, self.choices)
        left = _covariance(inputs, inputs, beliefs, self.choices) - seen.T @ seen
        left[np.diag_indices_from(left)] += beliefs.noise
        own, _ = dtrtri(_cholesky(left), lower=1)
        whitening = np.zeros((count + len(inputs),) * 2)
        whitening[:count, :count] = self.whitening
        whitening[count:, :count] = -own @ (seen.T @ self.whitening)
        whitening[count:, count:] = own
        return replace(
            self,
            inputs=self.inputs.stacked(inputs),
            whitening=whitening,
            whitened=np.concatenate([self.whitened, np.zeros(len(inputs))]),
        )


@dataclass(slots=True, kw_only=True)
class Outlook:
    """What a process expects of n networks; made by `Surrogate.predict`.

    Attributes:
        inputs: Of the networks.
        model: That expects it.
        means: (n,) of the true scores.
        variances: (n,) of the true scores, relative to the variance of all.
        seen: (rows, n) the covariances with the scored networks, whitened.
    """

    inputs: Inputs
    model: Surrogate
    means: Numbers
    variances: Numbers
    seen: Numbers

    @property
    def deviations(self) -> Numbers:
        """(n,) standard deviations of the true scores."""
        return np.sqrt(np.maximum(self.variances, 1e-9) * self.model.beliefs.scale)

    def believe(self, index: int) -> None:
        """Take one of the networks as come out as expected: those like it are less uncertain.

        It is `Surrogate.believing` for these n networks alone, at a small part of the time.
        """
        model, one = self.model, self.inputs[index : index + 1]
        across = _covariance(one, self.inputs, model.beliefs, model.choices)[0]
        left = across - self.seen[:, index] @ self.seen
        row = left / np.sqrt(max(left[index], 0.0) + model.beliefs.noise)
        self.seen = np.concatenate([self.seen, row[None, :]])
        self.variances = self.variances - row**2


def fit(
    inputs: Inputs, scores: Numbers, extra: Numbers, beliefs: Beliefs, *, choices: int
) -> Surrogate:
    """Condition the process on scores.

    Args:
        inputs: Of n networks.
        scores: (n,) around 0, higher is better.
        extra: (n,) variance of each score beyond the noise, in the unit of the scores.
        beliefs: Hyperparameters; see `believe`.
        choices: Number of choices of the space.
    """
    from scipy.linalg.lapack import dtrtri

    triangle = _triangle(inputs, extra, beliefs, choices)
    whitening, _ = dtrtri(triangle, lower=1)  # a Cholesky factor has an inverse
    whitened = whitening @ scores
    return Surrogate(
        inputs=inputs,
        beliefs=beliefs,
        choices=choices,
        whitening=whitening,
        whitened=whitened,
        fitted=scores - _noise(extra, beliefs) * (whitening.T @ whitened),
    )


def believe(inputs: Inputs, scores: Numbers, extra: Numbers, *, choices: int) -> Beliefs:
    """The hyperparameters under which the scores are most likely, of a small grid."""
    from scipy.linalg import solve_triangular

    likelihoods = []
    for beliefs in _grid(choices):
        triangle = _triangle(inputs, extra, beliefs, choices)
        whitened = solve_triangular(triangle, scores, lower=True, check_finite=False)
        # A weak prior on the scale, worth two scores, keeps it off 0 where all scores are equal.
        scale = float((whitened @ whitened + 2) / (len(scores) + 2))
        determinant = float(np.sum(np.log(np.diag(triangle))))
        likelihood = -0.5 * len(scores) * np.log(scale) - determinant
        likelihoods.append((likelihood, beliefs._replace(scale=scale)))
    return max(likelihoods, key=lambda each: each[0])[1]


def _grid(choices: int) -> Iterator[Beliefs]:
    for alike in (0.1, 0.3, 1.0):
        for share in (0.15, 0.3, 0.75):
            for noise in (0.003, 0.01, 0.03, 0.1, 0.3):
                yield Beliefs(alike=alike, reach=max(1.0, share * choices), noise=noise)


def _triangle(inputs: Inputs, extra: Numbers, beliefs: Beliefs, choices: int) -> Numbers:
    """Cholesky factor of the covariance of noisy scores."""
    covariance = _covariance(inputs, inputs, beliefs, choices)
    covariance[np.diag_indices_from(covariance)] += _noise(extra, beliefs)
    return _cholesky(covariance)


def _cholesky(covariance: Numbers) -> Numbers:
    """The lower factor; LAPACK itself, at half of the time of NumPy's way to it."""
    from scipy.linalg.lapack import dpotrf

    factor, order = dpotrf(covariance, lower=1)
    assert order == 0  # the noise makes every covariance positive definite
    found: Numbers = factor
    return found


def _noise(extra: Numbers, beliefs: Beliefs) -> Numbers:
    return beliefs.noise + extra / beliefs.scale


def _covariance(first: Inputs, second: Inputs, beliefs: Beliefs, choices: int) -> Numbers:
    # In float32, exact for the whole numbers of choices that agree: an exponential takes a third
    # of the time, and its error is far below the noise that is added.
    agreeing = first.options @ second.options.T
    alike = np.exp((agreeing - choices) / np.float32(beliefs.reach))
    alike *= np.float32(beliefs.alike)
    agreeing /= np.float32(choices)
    agreeing += alike
    covariance: Numbers = first.sizes @ second.sizes.T
    covariance += 1
    covariance += agreeing
    return covariance
