"""``verinet train`` of a stack of layers: network, record, and what people read of it."""

from pathlib import Path

from verinet.audit import FileRecord, Sample, TrainingFileRecord
from verinet.cli.certified_training import universal_lines
from verinet.cli.readable import write_readable
from verinet.io import write_atomically, write_onnx
from verinet.program import Status
from verinet.train.layered import LayeredResult

__all__ = ["layered_summary", "write_layered"]


def layered_summary(trained: LayeredResult) -> str:
    """Write what came out: goals, size, layers that are left."""
    record = trained.record
    lines = []
    for goal in trained.goals:
        state = "proven optimal" if goal.proven else "not proven"
        lines.append(
            f"{goal.goal.value} {float(goal.value):.6g} (exact), bound {goal.bound:.6g} ({goal.basis}): {state}"
        )
    lines.append(
        f"{record.units} units, {record.nonzeros} non-zero weights, {len(record.features)} features, "
        f"{record.samples} distinct rows, {record.seconds:.1f} s, {record.solver}"
    )
    if record.status is not Status.OPTIMAL:
        lines.append(f"gap {record.gap:.2%}")
    lines += universal_lines(record.universal)
    lines += [f"note: {note}" for note in record.notes]
    lines += [f"{node.name}: {'x'.join(map(str, node.shape))}" for node in trained.network.nodes]
    return "\n".join(lines)


def write_layered(folder: Path, trained: LayeredResult, sample: Sample) -> None:
    """Write the network (ONNX) and its record into a folder, and all that people read of it.

    Parameters
    ----------
    folder : Path
    trained : LayeredResult
    sample : Sample
        The rows of the training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(trained.network, folder / "network.onnx")
    record = TrainingFileRecord.of(trained.record, FileRecord.of(folder / "network.onnx"))
    write_atomically(folder / "record.json", record.model_dump_json(indent=2) + "\n")
    write_readable(folder, trained, sample)
