"""Make the model in the box again: import FERPlus, train, export, and say how good it is.

    python benchmarks/model.py FERPLUS.zip --work runs/model

Forty epochs take about an hour on one core (a GPU: minutes). Interrupted, the same command goes on. With ``--install`` the two
files replace those in src/selfcure/models.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

MODELS = Path(__file__).resolve().parents[1] / "src" / "selfcure" / "models"
RECIPE = "--method plain --recipe modern --backbone small --size 48 --set augmentation=strong"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="FERPlus, as `selfcure data import ferplus` takes it")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/model"), help="folder for data, run and files"
    )
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument(
        "--set", action="append", default=[], help="another setting, for instance precision=bf16"
    )
    parser.add_argument("--install", action="store_true", help="put the files into the package")
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    data, crowd, run = work / "ferplus", work / "majority", work / "run"
    for folder, how in ((data, "--convention argmax --soft-labels"), (crowd, "--convention majority")):
        if not (folder / "dataset.json").is_file():
            selfcure(f"data import ferplus {options.source} {how} --out {folder}")
    more = " ".join(f"--set {pair}" for pair in options.set)
    if not (run / "model.safetensors").is_file():
        resume = "--resume" if (run / "config.json").is_file() else ""
        selfcure(f"train {data} --out {run} {RECIPE} --epochs {options.epochs} {more} {resume}")
    onnx, weights = work / "ferplus.onnx", work / "ferplus.safetensors"
    onnx.unlink(missing_ok=True)
    selfcure(f"export {run} --out {onnx} --align box --quantize float16")
    halve(run / "model.safetensors", weights)
    for folder in (crowd, data):
        selfcure(f"evaluate {onnx} {folder}")
    print(f"{onnx.stat().st_size / 1e6:.2f} MB onnx, {weights.stat().st_size / 1e6:.2f} MB safetensors")
    if options.install:
        for file in (onnx, weights):
            shutil.copyfile(file, MODELS / file.name)
        print(f"installed in {MODELS}")


def selfcure(line: str) -> None:
    """Run a command and show it."""
    print(f"\n$ selfcure {line}", flush=True)
    subprocess.run([sys.executable, "-m", "selfcure", *shlex.split(line)], check=True)


def halve(source: Path, target: Path) -> None:
    """The network's tensors, in float16 where they are large."""
    import torch
    from safetensors.torch import load_file, save_file

    prefix = "module/"
    saved = {k.removeprefix(prefix): v for k, v in load_file(source).items() if k.startswith(prefix)}
    network = {k: v for k, v in saved.items() if not k.startswith("loss.")}
    if not network:
        raise SystemExit(f"{source} holds no tensors under {prefix}")
    small = {
        k: v.to(torch.float16) if v.is_floating_point() and v.numel() >= 256 else v
        for k, v in network.items()
    }
    save_file({k: v.contiguous() for k, v in small.items()}, target, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
