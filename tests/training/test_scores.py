import pytest

from mnas.training import Score, accuracy_from, mean_accuracy, paired_gain


def test_accuracy_has_wilsons_interval():
    accuracy = accuracy_from([True] * 95 + [False] * 5)
    assert (accuracy.correct, accuracy.total, accuracy.value) == (95, 100, 0.95)
    # Newcombe 1998, Statistics in Medicine 17, method 3, computed for 95 of 100
    assert accuracy.low == pytest.approx(0.8882, abs=5e-5)
    assert accuracy.high == pytest.approx(0.9785, abs=5e-5)


def test_accuracy_of_all_right_still_has_a_lower_end_below_one():
    accuracy = accuracy_from([True] * 20)
    assert accuracy.high == 1.0
    assert accuracy.low == pytest.approx(20 / (20 + 1.959964**2), abs=1e-6)


def test_accuracy_keeps_which_images_are_right():
    assert accuracy_from([True, False, True]).is_correct == (True, False, True)


def test_gain_counts_only_the_images_on_which_the_networks_disagree():
    first = [True] * 90 + [True] * 6 + [False] * 2 + [False] * 2
    second = [True] * 90 + [False] * 6 + [True] * 2 + [False] * 2
    gain = paired_gain(first, second)
    assert gain.value == pytest.approx(0.04)
    assert gain.low < gain.value < gain.high
    assert gain.low < 0  # 6 against 2 resolves nothing


def test_gain_of_the_other_direction_is_the_negative():
    first, second = [True] * 30 + [False] * 5, [True] * 20 + [False] * 15
    there, back = paired_gain(first, second), paired_gain(second, first)
    assert there.low > 0
    assert (back.value, back.low, back.high) == pytest.approx(
        (-there.value, -there.high, -there.low)
    )


def test_gain_of_a_network_over_itself_is_zero_within_an_interval():
    gain = paired_gain([True, False] * 50, [True, False] * 50)
    assert gain.value == 0
    assert gain.low < 0 < gain.high


def test_gain_over_different_images_is_refused():
    with pytest.raises(ValueError, match="same images for both networks; got 2 and 3"):
        paired_gain([True, True], [True, True, False])


def test_scores_are_equal_whatever_time_they_took():
    def score(seconds):
        return Score(accuracy=0.5, epochs=1, seed=0, seconds=seconds, state="complete")

    assert score(1.0) == score(2.0)


def test_failed_score_must_have_a_reason():
    with pytest.raises(AssertionError, match="failed"):
        Score(accuracy=None, epochs=1, seed=0, seconds=0.0, state="failed")


def test_gain_of_single_trainings_is_bonett_and_prices():
    first, second = [True] * 96 + [False] * 4, [True] * 90 + [False] * 6 + [True] * 2 + [False] * 2
    gain = paired_gain(first, second)
    wins, losses = 7 / 102, 3 / 102
    half = 1.959964 * ((wins + losses - (wins - losses) ** 2) / 102) ** 0.5
    assert (gain.low, gain.high) == pytest.approx((wins - losses - half, wins - losses + half))


def test_gain_of_several_trainings_is_taken_image_by_image():
    gain = paired_gain([1.0, 2 / 3, 1.0, 0.0] * 40, [2 / 3, 2 / 3, 1 / 3, 0.0] * 40)
    assert gain.value == pytest.approx(0.25)
    assert 0 < gain.low < gain.value < gain.high


def test_mean_accuracy_of_one_training_is_its_accuracy():
    marks = [True] * 95 + [False] * 5
    one, mean = accuracy_from(marks), mean_accuracy(marks)
    assert (mean.total, mean.value, mean.low, mean.high) == (
        one.total,
        one.value,
        one.low,
        one.high,
    )


def test_mean_accuracy_of_several_trainings_is_the_mean_of_their_accuracies():
    mean = mean_accuracy([1.0, 2 / 3, 1 / 3, 1.0] * 25)
    assert mean.value == pytest.approx(0.75)
    assert mean.low < 0.75 < mean.high
