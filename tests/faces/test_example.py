"""The picture in docs/faces.md, in small."""

import runpy
from pathlib import Path

import numpy as np
from PIL import Image

from selfcure.faces.extraction import FaceSettings
from selfcure.faces.pipeline import extract_faces

EXAMPLE = Path(__file__).parents[2] / "examples" / "draw_faces.py"


def test_boxes_and_points_are_drawn_where_they_are(tree, tmp_path):
    photos = tree(2, classes=())
    faces = extract_faces(photos, out=tmp_path / "faces", settings=FaceSettings(size=64)).path
    example = runpy.run_path(str(EXAMPLE))
    assert example["main"](photos, faces, tmp_path / "found.png") == 2
    sheet = np.asarray(Image.open(tmp_path / "found.png")).astype(int)
    height = example["HEIGHT"]
    assert sheet.shape == (2 * height + 8, 2 * height + 8, 3)
    is_point = np.abs(sheet - example["POINTS"]).sum(2) < 30
    rows, columns = np.nonzero(is_point[:height])
    assert 60 < len(rows) < 300  # five dots
    assert columns.max() < height  # on the photograph, not on the crop
