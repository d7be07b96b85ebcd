"""Transforms on PIL, against torchvision's results where it defines them."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from clsearch.backbones.torchvision_ops import declare_missing_operators
from clsearch.benchmarks.transforms import TRANSFORMS, RandomCrop, centre_square, random_square, render
from clsearch.errors import UsageError


def picture(width: int = 90, height: int = 60, seed: int = 0) -> Image.Image:
    pixels = np.random.RandomState(seed).randint(0, 256, (height // 5, width // 5, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def draw(seed: int, name: str = "pilot") -> np.ndarray:
    return render([picture], ["it"], TRANSFORMS[name], 32, [seed])


@pytest.fixture(scope="module")
def vision() -> ModuleType:
    declare_missing_operators()
    return importlib.import_module("torchvision.transforms")


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
@pytest.mark.parametrize("size", [(300, 500), (500, 300), (256, 256), (28, 28), (301, 227)])
def test_the_test_transform_is_torchvisions(vision: ModuleType, name: str, size: tuple[int, int]) -> None:
    transforms = TRANSFORMS[name]
    mode = {"bilinear": vision.InterpolationMode.BILINEAR, "bicubic": vision.InterpolationMode.BICUBIC}
    short = round(transforms.resize * 224)
    theirs = vision.Compose([vision.Resize(short, mode[transforms.interpolation]), vision.CenterCrop(224)])
    ours = centre_square(picture(*size), transforms, 224)
    assert (np.asarray(ours) == np.asarray(theirs(picture(*size)))).all()


def test_augmentation_depends_on_the_seed_alone() -> None:
    assert (draw(5) == draw(5)).all()
    draw(6)
    assert (draw(5) == draw(5)).all()
    assert (draw(5) != draw(6)).any()
    pictures: list[Callable[[], Image.Image]] = [picture, lambda: picture(seed=1), picture]
    together = render(pictures, ["a", "b", "c"], TRANSFORMS["pilot"], 32, [1, 2, 5])
    assert (together[2] == draw(5)[0]).all()


def test_without_seeds_the_test_transform_is_used() -> None:
    image = render([picture], ["it"], TRANSFORMS["pilot"], 32, None)
    assert (image[0] == np.asarray(centre_square(picture(), TRANSFORMS["pilot"], 32))).all()
    plain = render([picture], ["it"], TRANSFORMS["plain"], 32, [4])
    assert (plain[0] == np.asarray(centre_square(picture(), TRANSFORMS["plain"], 32))).all()


def test_crops_have_the_area_the_aspect_and_the_flips_asked_for() -> None:
    # A ramp tells where a crop came from: red holds x, green holds y.
    x, y = np.meshgrid(np.arange(200), np.arange(200))
    ramp = Image.fromarray(np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8))
    crop = RandomCrop((0.2, 0.6), "bilinear", flip=True)
    areas, aspects, flips = [], [], 0
    for seed in range(400):
        square = np.asarray(random_square(ramp, crop, 64, seed)).astype(float)
        step_x = (square[:, -10, 0] - square[:, 10, 0]).mean() / 43
        step_y = (square[-10, :, 1] - square[10, :, 1]).mean() / 43
        flips += step_x < 0
        areas.append(abs(step_x) * step_y * 64 * 64 / 200**2)
        aspects.append(abs(step_x) / step_y)
    assert 0.18 < min(areas) < 0.22
    assert 0.57 < max(areas) < 0.64
    assert 0.73 < min(aspects) < 0.8
    assert 1.25 < max(aspects) < 1.37
    assert abs(np.mean(areas) - 0.4) < 0.02
    assert 160 < flips < 240


def test_a_crop_without_flip_never_mirrors() -> None:
    ramp = Image.fromarray(np.tile(np.arange(100, dtype=np.uint8)[:, None].T, (100, 1))).convert("RGB")
    for seed in range(40):
        square = np.asarray(random_square(ramp, TRANSFORMS["clip"].train, 32, seed)).astype(int)  # type: ignore[arg-type]
        assert square[0, -1, 0] > square[0, 0, 0]


def test_a_picture_too_narrow_for_any_crop_gives_its_middle() -> None:
    strip = picture(400, 10)
    square = random_square(strip, RandomCrop((0.9, 1.0), "bilinear", flip=False), 16, 1)
    middle = strip.crop((193, 0, 206, 10)).resize((16, 16), Image.Resampling.BILINEAR)
    assert (np.asarray(square) == np.asarray(middle)).all()


def test_grey_palette_and_sixteen_images_become_rgb() -> None:
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        converted = picture().convert(mode)
        assert render([partial(Image.Image.copy, converted)], ["it"], TRANSFORMS["plain"], 8, None).shape == (
            1,
            8,
            8,
            3,
        )


def test_a_damaged_image_is_named() -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "JPEG")
    whole = buffer.getvalue()
    for data in (b"", b"no image", whole[: len(whole) // 2]):
        with pytest.raises(UsageError, match=r"image 'cat\.jpg' cannot be read"):
            render([partial(Image.open, io.BytesIO(data))], ["cat.jpg"], TRANSFORMS["plain"], 8, None)


def test_published_transforms() -> None:
    pilot, coda, clip = (TRANSFORMS[name] for name in ("pilot", "coda", "clip"))
    assert pilot.train == RandomCrop((0.05, 1.0), "bilinear", True, (3 / 4, 4 / 3))
    assert coda.train == RandomCrop((0.08, 1.0), "bilinear", True, (3 / 4, 4 / 3))
    assert clip.train == RandomCrop((0.9, 1.0), "bicubic", False, (3 / 4, 4 / 3))
    assert [round(item.resize * 224) for item in (pilot, coda, clip)] == [256, 256, 224]
    assert [item.interpolation for item in (pilot, coda, clip)] == ["bicubic", "bilinear", "bicubic"]
    assert [item.normalize for item in (pilot, coda, clip)] == ["none", "none", "clip"]
