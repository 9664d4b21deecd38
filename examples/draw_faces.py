"""What `selfcure faces` found: each photograph with its boxes and landmarks, and beside it the crops.

python examples/draw_faces.py PHOTOS FACES --out found.png
"""

import argparse
import io
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from selfcure.faces.photos import read_upright

HEIGHT = 224  # of everything in the picture, in pixels
BOX, POINTS = (255, 196, 0), (0, 220, 255)


def draw(photo: Image.Image, faces: list[dict]) -> Image.Image:
    """The photograph at the height of the crops, so that lines and points are as fine on any of them."""
    scale = HEIGHT / photo.height
    small = photo.resize((round(photo.width * scale), HEIGHT), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(small)
    for face in faces:
        pen.rectangle([value * scale for value in face["box"]], outline=BOX, width=2)
        for x, y in face["landmarks"]:
            pen.ellipse([x * scale - 2, y * scale - 2, x * scale + 2, y * scale + 2], fill=POINTS)
    return small


def main(source: Path, folder: Path, out: Path, most: int = 6) -> int:
    """Number of photographs drawn, one below the other."""
    by_photo: dict[str, list[dict]] = {}
    for shard in sorted(folder.glob("*.parquet")):
        for row in pq.read_table(shard).to_pylist():
            by_photo.setdefault(row["source"], []).append(row)
    lines = []
    for name, faces in list(by_photo.items())[:most]:
        crops = [Image.open(io.BytesIO(face["image"]["bytes"])).resize((HEIGHT, HEIGHT)) for face in faces]
        lines.append([draw(Image.fromarray(read_upright(source / name)), faces), *crops])
    width = max(sum(picture.width + 8 for picture in line) for line in lines) - 8
    sheet = Image.new("RGB", (width, len(lines) * (HEIGHT + 8) - 8), "white")
    for number, line in enumerate(lines):
        left = 0
        for picture in line:
            sheet.paste(picture, (left, number * (HEIGHT + 8)))
            left += picture.width + 8
    sheet.save(out, optimize=True)
    return len(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="the folder of photographs")
    parser.add_argument("folder", type=Path, help="the dataset folder made of it")
    parser.add_argument("--out", type=Path, default=Path("found.png"))
    main(**vars(parser.parse_args()))
