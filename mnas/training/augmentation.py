"""What is done to images at random while training, as a value. Needs no torch."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Random changes to training images; the defaults change nothing.

    Attributes:
        shift: Furthest move in each direction, as a share of the side (He et al. 2015,
            arXiv:1512.03385, section 4.2); what moves in is black.
        crop: Smallest share of the area that a random crop keeps, which is enlarged to the whole
            side again; aspect 3/4 to 4/3 (Szegedy et al. 2014, arXiv:1409.4842, section 6). 1 for
            whole images.
        flip: Whether to mirror half of the images left to right.
        colour: Brightness, contrast and saturation are each multiplied by a number between 1 -
            colour and 1 + colour (Howard 2013, arXiv:1312.5402); saturation only where there is
            colour.
        rand_augment: Operations of RandAugment for each image (Cubuk et al. 2019,
            arXiv:1909.13719); 0 for none, 2 is usual.
        rand_augment_magnitude: How strong they are, 0 to 30.
        erase: Share of the images of which a random rectangle is blanked (Zhong et al. 2017,
            arXiv:1708.04896).
        mixup: Alpha of mixup (Zhang et al. 2017, arXiv:1710.09412): a batch is blended with
            itself, labels too, by a share drawn from Beta(alpha, alpha); 0 for none.
        cutmix: Alpha of CutMix (Yun et al. 2019, arXiv:1905.04899): a rectangle comes from
            another image; 0 for none. With mixup, each batch gets one of the two.
    """

    shift: float = 0.0
    crop: float = 1.0
    flip: bool = False
    colour: float = 0.0
    rand_augment: int = 0
    rand_augment_magnitude: int = 9
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def mixes_labels(self) -> bool:
        """Whether targets are shares of classes and no longer one class."""
        return self.mixup > 0 or self.cutmix > 0

    def problems(self) -> Iterator[str]:
        """What no training can do, in words; nothing if all is well."""
        for name in ("shift", "colour"):
            if not 0 <= getattr(self, name) < 1:
                yield f"{name} must be at least 0 and below 1; got {getattr(self, name)}"
        if not 0 < self.crop <= 1:
            yield f"crop must be above 0 and at most 1; got {self.crop}"
        if not 0 <= self.erase <= 1:
            yield f"erase must be between 0 and 1; got {self.erase}"
        if not 0 <= self.rand_augment <= 14:
            yield f"rand_augment must be between 0 and 14 operations; got {self.rand_augment}"
        if not 0 <= self.rand_augment_magnitude <= 30:
            yield (
                "rand_augment_magnitude must be between 0 and 30; "
                f"got {self.rand_augment_magnitude}"
            )
        for name in ("mixup", "cutmix"):
            if getattr(self, name) < 0:
                yield f"{name} must be at least 0; got {getattr(self, name)}"
