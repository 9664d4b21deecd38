"""``selfcure export``."""

from pathlib import Path

from selfcure.cli.output import Flag, console, errors, one_line, percent, print_json, print_table, table


def export(
    run: Path,
    /,
    *,
    out: Path,
    format: str = "onnx",
    quantize: str | None = None,
    importance: Flag = False,
    data: Path | None = None,
    align: str | None = None,
    margin: float | None = None,
    check: int = 256,
    json: Flag = False,
) -> None:
    """Write a run's network as one file for other programs, and check that it says what the run says.

    The file takes any number of images and carries class names and preprocessing. It is checked on validation images
    of the run's dataset, or on generated ones where that is gone; a file that differs is an error and not kept.

    Parameters
    ----------
    run
        Finished run folder.
    out
        File to make: .onnx, or .pt2 for torch-export.
    format
        onnx (default) or torch-export.
    quantize
        float16: half the size, computed in float32. int8: a quarter of the size, calibrated on 256 training images.
    importance
        Let the file also give SCN's importance of an image. By default it is left out, and the network is a plain one.
    data
        Dataset folder to check on and calibrate with, instead of the run's own.
    align
        How predict is to cut out faces, if the run's dataset does not say: similarity or box.
    margin
        How much more than that to show on each side, as a share of the side.
    check
        Images to check on, at most.
    json
        Print one JSON object.
    """
    from selfcure.export.api import export_run

    with errors.status("exporting") as status:
        report = export_run(
            run,
            out=out,
            format=format,
            quantize=quantize,
            importance=importance,
            data=data,
            align=align,
            margin=margin,
            num_check=check,
            note=lambda text: status.update(one_line(text)),
        )
    if json:
        print_json(report.to_dict())
        return
    parity = report.parity
    facts = table("", "run", "file")
    if parity.accuracy_run is not None:
        facts.add_row("accuracy", percent(parity.accuracy_run), percent(parity.accuracy_file))
    facts.add_row("same class", "", percent(parity.agreement))
    facts.add_row("probabilities differ, largest", "", f"{parity.max_difference:.1e}")
    facts.add_row("probabilities differ, mean", "", f"{parity.mean_difference:.1e}")
    kind = f"{format}, {report.info.quantization or 'float32'}"
    console.print(
        one_line(
            f"{report.path}: {kind}, {report.num_bytes / 1e6:.1f} MB, gives {' and '.join(report.outputs)}"
        ),
        soft_wrap=True,
    )
    if report.calibration:
        console.print(one_line(f"calibrated on {report.calibration}"), soft_wrap=True)
    print_table(facts, f"checked on {parity.origin}")
