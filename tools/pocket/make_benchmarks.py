"""Write the Parquet files of the pocket benchmarks: the same packages give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tools.pocket import emoji_classes as classes
from tools.pocket import sources

OUT = Path(__file__).parents[2] / "clsearch/benchmarks/pocket"
EMOJI_SIZE = 48
Row = dict[str, object]


def main() -> None:
    _write("pocket_cil", [*_fashion(100, 50), *_mnist(100, 50), *_cil_emoji(50, 20)])
    _write("pocket_x_tail", [*_fashion(40, 20, skip=500), *_digits(40, 20), *_x_tail_emoji(40, 30)])
    _write("pocket_dil", list(_dil_emoji()))


def _write(name: str, rows: list[Row]) -> None:
    rows.sort(key=lambda row: (row["domain"], row["class_name"], row["split"], row["id"]))
    if len({row["id"] for row in rows}) != len(rows):
        raise ValueError(f"{name} has an id twice")
    text = ("id", "class_name", "domain", "split", "source", "licence")
    columns = {"id", "image", *text}
    schema = pa.schema(
        [pa.field("id", pa.string()), pa.field("image", pa.binary())]
        + [pa.field(column, pa.string()) for column in text[1:]]
    )
    if any(set(row) != columns for row in rows):
        raise ValueError(f"{name} has a row with other columns")
    path = OUT / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd", compression_level=19)
    print(f"{name}: {len(rows)} rows, {path.stat().st_size} bytes")


def _row(identifier: str, image: bytes, class_name: str, domain: str, split: str, source: str) -> Row:
    origin = sources.SOURCES[source]
    return {
        "id": identifier,
        "image": image,
        "class_name": class_name,
        "domain": domain,
        "split": split,
        "source": origin.package,
        "licence": origin.licence,
    }


def _fashion(train: int, test: int, skip: int = 0) -> Iterator[Row]:
    """The first images of each class in Fashion-MNIST's own splits, after `skip` of them."""
    for split, prefix, limit in (("train", "train", train), ("test", "t10k", test)):
        images = sources.idx_images(sources.FASHION / f"{prefix}-images-idx3-ubyte.gz")
        labels = sources.idx_labels(sources.FASHION / f"{prefix}-labels-idx1-ubyte.gz")
        for label, name in enumerate(sources.FASHION_CLASSES):
            for index in (labels == label).nonzero()[0][skip:][:limit]:
                png = _png(Image.fromarray(images[index]))
                yield _row(f"fashion/{prefix}/{index:05d}", png, name, "fashion", split, "fashion")


def _mnist(train: int, test: int) -> Iterator[Row]:
    return _numbers("mnist", sources.digit_rows(sources.MNIST, 28, 255), train, test)


def _digits(train: int, test: int) -> Iterator[Row]:
    return _numbers("digits", sources.digit_rows(sources.DIGITS, 8, 16), train, test)


def _numbers(source: str, rows: Iterator[tuple[object, int]], train: int, test: int) -> Iterator[Row]:
    """Both files have one list of images; the first of each digit train, the next ones test."""
    seen = [0] * 10
    for index, (pixels, label) in enumerate(rows):
        seen[label] += 1
        if seen[label] <= train + test:
            split = "train" if seen[label] <= train else "test"
            png = _png(Image.fromarray(pixels))
            name = sources.DIGIT_CLASSES[label]
            yield _row(f"{source}/{index:05d}", png, name, "digits", split, source)


def _cil_emoji(train: int, test: int) -> Iterator[Row]:
    seen: set[bytes] = set()
    for name, subcategories in classes.CIL_CLASSES.items():
        yield from _emoji_class("emoji", name, subcategories, train, test, seen)


def _x_tail_emoji(train: int, test: int) -> Iterator[Row]:
    seen: set[bytes] = set()
    for domain, domain_classes in classes.X_TAIL_DOMAINS.items():
        for name, subcategories in domain_classes.items():
            yield from _emoji_class(domain, name, subcategories, train, test, seen)


def _emoji_class(
    domain: str,
    name: str,
    subcategories: tuple[str, ...],
    train: int,
    test: int,
    seen: set[bytes],
) -> Iterator[Row]:
    """Concepts in all the styles that draw them, up to the limits."""
    left = {"train": train, "test": test}
    for emoji in classes.members(subcategories):
        split = _split(emoji)
        for style in sources.STYLES:
            image = _new_image(style, emoji, seen) if left[split] > 0 else None
            if image is not None:
                left[split] -= 1
                yield _row(f"emoji/{emoji.code}/{style}", image, name, domain, split, style)


def _dil_emoji() -> Iterator[Row]:
    seen: set[bytes] = set()
    for name, subcategories in classes.DIL_CLASSES.items():
        for emoji in classes.members(subcategories):
            for style in sources.STYLES:
                image = _new_image(style, emoji, seen)
                if image is not None:
                    identifier = f"emoji/{emoji.code}/{style}"
                    yield _row(identifier, image, name, style, _split(emoji), style)


def _split(emoji: sources.Emoji) -> str:
    return "test" if emoji.code in classes.test_codes() else "train"


def _new_image(style: str, emoji: sources.Emoji, seen: set[bytes]) -> bytes | None:
    """The encoded picture; None for one drawn just like an earlier one, such as many line flags."""
    image = _emoji_image(style, emoji)
    if image is None or image in seen:
        return None
    seen.add(image)
    return image


def _emoji_image(style: str, emoji: sources.Emoji) -> bytes | None:
    image = sources.styled_emoji(style, emoji, EMOJI_SIZE)
    if image is None:
        return None
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85, method=6)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
