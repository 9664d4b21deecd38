"""Draw the synthetic photographs, the group and the film that docs/predict.md shows: make_predict_data.py FOLDER."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from selfcure.data.synthetic import CLASS_NAMES, PROTOTYPES, render, synthesize
from selfcure.data.synthetic.expressions import as_vector
from selfcure.predict.video import VideoWriter

SIZE = 128
NUM = 2400


def main(folder: Path) -> None:
    photos = folder / "photos"
    for start in range(0, NUM, 240):
        faces = synthesize(240, seed=0, size_px=SIZE, low_quality=0.1, start=start)
        for index, (image, label) in enumerate(zip(faces.images, faces.true_labels, strict=True), start):
            split = "validation" if index % 6 == 0 else "train"
            place = photos / split / CLASS_NAMES[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{index:04d}.png")
    group(folder / "group.png")
    film(folder / "film.mp4")


def group(path: Path) -> None:
    """People that training has not seen, one for each expression; two of the pictures are spoilt."""
    faces = synthesize(400, seed=0, size_px=220, first_identity=1000)
    bad = synthesize(400, seed=0, size_px=220, first_identity=1000, low_quality=1.0)
    canvas = Image.new("RGB", (980, 560), "#dfe4ea")
    for label in range(len(CLASS_NAMES)):
        row = int(np.flatnonzero(faces.true_labels == label)[4])
        image = (bad if label in (3, 6) else faces).images[row]
        canvas.paste(Image.fromarray(image), (20 + 240 * (label % 4), 50 + 260 * (label // 4)))
    canvas.save(path)


def film(path: Path) -> None:
    """Two people for eight seconds, going from one expression to the next; one turns away for a while."""
    acts = (("neutral", "happiness", "neutral", "surprise"), ("sadness", "neutral", "anger", "happiness"))
    writer = VideoWriter(path, 25.0)
    for frame in range(200):
        time = frame / 50  # in expressions
        pictures = []
        for person, act in enumerate(acts):
            now = as_vector(PROTOTYPES[act[int(time)]][0])
            after = as_vector(PROTOTYPES[act[min(int(time) + 1, 3)]][0])
            share = np.clip((time % 1 - 0.7) / 0.3, 0, 1)
            yaw = 12 * np.sin(time * 2 + person)
            pictures.append(
                render(
                    (1 - share) * now + share * after, identity=1003 + 4 * person, yaw_deg=yaw, size_px=240
                )
            )
        canvas = np.full((300, 640, 3), 215, np.uint8)
        for person, picture in enumerate(pictures):
            if person and 90 <= frame < 115:
                continue  # gone for a second
            left = 30 + 330 * person + int(10 * np.sin(time + person))
            canvas[40:280, left : left + 240] = picture
        writer.write(frame / 25, canvas)
    writer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
