"""Several processes that train together: real ones, with gloo."""

import dataclasses

import psutil
import pytest
import torch

from mnas.training import (
    FullRecipe,
    OtherTrainingError,
    RecipeError,
    TeamError,
    train_network,
)
from mnas.training.batches import images_of
from mnas.training.loop import Training
from mnas.training.team import ALONE, Team, team_of

RECIPE = FullRecipe(epochs=2, batch_size=32, warmup_epochs=1.0)


class Pretended(Team):
    """One of two processes whose other one has exactly the same gradients."""

    __slots__ = ()

    def _sum(self, tensor):
        tensor *= self.size


def others():
    """The processes that train beside this one."""
    return [
        each
        for each in psutil.Process().children()
        if any("spawn_main" in word for word in each.cmdline())
    ]


@pytest.fixture(scope="module")
def pair(tiny, digits, tmp_path_factory):
    directory = tmp_path_factory.mktemp("pair")
    return train_network(tiny, data=digits, recipe=RECIPE, seed=0, directory=directory, processes=2)


def test_two_processes_train_one_network(pair, tiny, digits, tmp_path):
    alone = train_network(tiny, data=digits, recipe=RECIPE, seed=0, directory=tmp_path)
    assert pair.weights.read_bytes() != alone.weights.read_bytes()  # BatchNorm sees half a batch
    assert pair.val.value == pytest.approx(alone.val.value, abs=0.15)
    assert not others()


def test_two_processes_killed_in_the_middle_continue_to_the_same_weights(
    pair, tiny, digits, tmp_path, monkeypatch
):
    take_step = Training._step

    def kill_the_other(self, chosen, epoch, step):
        if (epoch, step) == (1, 3):
            (other,) = others()
            other.kill()
        return take_step(self, chosen, epoch, step)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", kill_the_other)
        with pytest.raises(TeamError, match="one of the 2 processes that train together is gone"):
            train_network(tiny, data=digits, recipe=RECIPE, seed=0, directory=tmp_path, processes=2)
    again = train_network(tiny, data=digits, recipe=RECIPE, seed=0, directory=tmp_path, processes=2)
    assert again.weights.read_bytes() == pair.weights.read_bytes()
    assert again.test == pair.test


def test_other_number_of_processes_is_another_training(pair, tiny, digits):
    with pytest.raises(OtherTrainingError, match=r"\(processes 2 there, None here\)"):
        train_network(tiny, data=digits, recipe=RECIPE, seed=0, directory=pair.directory)


def test_batches_that_cannot_be_shared_are_refused(tiny, digits):
    images = images_of(digits.train, digits)
    method = dataclasses.replace(RECIPE, batch_size=33).method
    with pytest.raises(RecipeError, match="batches of 33 images cannot be shared by 2 processes"):
        Training(tiny, images, method, 0, team=Team(rank=0, size=2))


def test_shares_are_the_batch():
    batch = torch.arange(7)
    shares = [Team(rank=rank, size=3).share(batch) for rank in range(3)]
    assert sorted(torch.cat(shares).tolist()) == batch.tolist()
    assert ALONE.share(batch).equal(batch)


def test_mean_of_the_processes_replaces_every_tensor():
    first, second = torch.tensor([1.0, 3.0]), torch.tensor(5.0)
    Pretended(rank=0, size=2).average([first, second])
    assert first.tolist() == [1.0, 3.0]
    assert second.item() == 5.0


def test_processes_with_different_weights_are_told():
    class Different(Pretended):
        __slots__ = ()

        def _sum(self, tensor):
            tensor += 1

    with pytest.raises(TeamError, match=r"the weights of the 2 processes .* differ"):
        Different(rank=0, size=2).require_same([torch.ones(3)])


def test_process_that_does_not_start_is_told():
    with (
        pytest.raises(TeamError, match="ended with exit code 1 at its start"),
        team_of(2, _Broken()),
    ):
        raise AssertionError("the team is not there")


class _Broken:
    """Cannot be taken apart in another process."""

    def __call__(self, team):
        """Do nothing."""

    def __reduce__(self):
        return (_fail, ())


def _fail():
    raise ValueError("not here")
