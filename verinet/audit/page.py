"""One page about a network: what it is, formulas, effects, rules and pictures, in one file that needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from verinet.audit.directions import Direction, effects_of
from verinet.audit.filters_picture import draw_filters
from verinet.audit.formulas import formulas_of
from verinet.audit.graph_picture import draw_network
from verinet.audit.names import counted, printable
from verinet.audit.progress_picture import draw_progress
from verinet.audit.reach import reached_inputs
from verinet.audit.rules import Rule, Rules, Sample, rule_summary
from verinet.audit.stages import Stage, network_stages
from verinet.audit.trained import Trained, reached, training_records
from verinet.audit.units_picture import draw_all_units
from verinet.audit.weights_picture import Picture, draw_convolutions, draw_weights
from verinet.model import Network
from verinet.train import FilterParameters, TrainedOutputs, TrainingRecord

__all__ = ["network_page"]

NO_DATA = "Effects are decided over the range of data; none were given."
TEMPLATE = "page.html.jinja"
MOST_FORMULAS, MOST_RULES, MOST_CONDITIONS, MOST_NAMES = 60, 20, 12, 60

STYLES = {
    Direction.INCREASING: "raises",
    Direction.DECREASING: "lowers",
    Direction.BOTH: "",
    Direction.NONE: "",
    Direction.NOT_DECIDED: "open",
}


@dataclass(frozen=True)
class _EffectRow:
    feature: str
    output: str
    words: str
    basis: str
    style: str


@dataclass(frozen=True)
class _RuleText:
    summary: str
    lines: tuple[tuple[str, str], ...]


def network_page(
    network: Network,
    features: Sequence[str],
    outputs: Sequence[str],
    *,
    title: str,
    sample: Sample | None = None,
    rules: Rules | None = None,
    trained: Trained | None = None,
) -> str:
    """Write the page of a network.

    Parameters
    ----------
    network : Network
    features, outputs : sequence of str
        Names of the network's inputs and outputs.
    title : str
    sample : Sample or None
        Data: its range is where effects are decided and curves are drawn.
    rules : Rules or None
        The rules that the data fall under.
    trained : TrainedOutputs, LayeredResult or None
        What the network comes from.

    Returns
    -------
    str
        An HTML document with all pictures in it; it runs no script and loads nothing.

    Raises
    ------
    InputError
        If the network is too large to be read this way.
    """
    # Imported here: a verdict needs no pages.
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    features, outputs = [printable(n) for n in features], [printable(n) for n in outputs]
    stages = network_stages(network, features, outputs)
    formulas = formulas_of(network, features, outputs, trained).split("\n")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    template = environment.from_string(files("verinet.audit").joinpath(TEMPLATE).read_text(encoding="utf-8"))

    def inline(svg: str) -> Markup:
        """Trust a picture of our own: names in it are escaped where it is drawn."""
        return Markup(svg[svg.index("<svg") :])  # noqa: S704

    return template.render(
        title=printable(title),
        size=_size(network, stages),
        facts=_facts(network, stages),
        goals=() if trained is None else reached(trained, outputs),
        training=() if trained is None else _training_facts(trained, outputs),
        graph=inline(draw_network(stages)),
        formulas=formulas[:MOST_FORMULAS],
        formulas_left=max(0, len(formulas) - MOST_FORMULAS),
        effects=() if sample is None else _effects(network, stages, sample),
        effects_missing=NO_DATA if sample is None else "The network reads no feature: its output is constant.",
        many_outputs=len(outputs) > 1,
        rules=() if rules is None else tuple(_rule_text(rule, rules.sample) for rule in rules.rules[:MOST_RULES]),
        rules_note="" if rules is None else _rules_note(rules),
        rules_left="" if rules is None else _rules_left(rules),
        rules_missing="Rules are the linear regions that data fall in; see verinet rules.",
        filters=[inline(svg) for svg in _filters(trained, outputs)],
        units=[inline(svg) for svg in _units(stages, sample)],
        weights=[
            {"caption": p.caption, "svg": inline(p.svg) if p.svg else ""} for p in _weight_pictures(network, stages)
        ],
        progress=[inline(draw_progress(r)) for r in (() if trained is None else training_records(trained))],
    )


def _size(network: Network, stages: Sequence[Stage]) -> str:
    hidden = ", ".join(str(len(stage.units)) for stage in stages[1:-1]) or "none"
    return (
        f"A piecewise-linear network of {network.size_in} inputs, {network.size_out} "
        f"{'output' if network.size_out == 1 else 'outputs'} and hidden units in stages of: {hidden}."
    )


def _facts(network: Network, stages: Sequence[Stage]) -> list[tuple[str, str]]:
    read = reached_inputs(network)
    names = [stages[0].units[j] for j in sorted(read)]
    left_out = [name for j, name in enumerate(stages[0].units) if j not in read]
    nonzeros = sum(int(matrix.nnz) for stage in stages for matrix in stage.sources.values())
    return [
        ("features read", f"{len(names)} of {len(stages[0].units)}: {_listed(names)}"),
        ("features not read", _listed(left_out)),
        ("weights that are not zero", f"{nonzeros}, those of the outputs included; counted once a use"),
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "none") + more


def _training_facts(trained: Trained, outputs: Sequence[str]) -> list[tuple[str, str]]:
    """List how each training went, under the names of the outputs where there are several."""
    records = training_records(trained)
    facts = []
    for output, record in zip(outputs if len(records) > 1 else [""], records, strict=True):
        facts += [(", ".join(filter(None, (name, output))), text) for name, text in _record_facts(record)]
    return facts


def _record_facts(record: TrainingRecord) -> list[tuple[str, str]]:
    size = f"{record.units} units, {record.nonzeros} non-zero weights, {record.samples} distinct rows"
    kept = () if record.universal is None else record.universal.kept
    return [
        ("trained by", f"{record.method.value}, {record.solver}, {record.seconds:.1f} s"),
        ("as the training counts", size),
        *(("holds everywhere", f"{k.name}: {k.verdict}, {k.engine}") for k in kept),
        *(("note", note) for note in record.notes),
    ]


def _effects(network: Network, stages: Sequence[Stage], sample: Sample) -> tuple[_EffectRow, ...]:
    read = {(i, j) for i in range(network.size_out) for j in reached_inputs(network, i)}
    names, outputs = stages[0].units, stages[-1].units
    return tuple(
        _EffectRow(names[e.feature], outputs[e.output], e.direction.value, e.basis, STYLES[e.direction])
        for e in effects_of(network, sample.x)
        if (e.output, e.feature) in read
    )


def _filters(trained: Trained | None, outputs: Sequence[str]) -> tuple[str, ...]:
    """Draw trained filters with the outputs that they move."""
    if isinstance(trained, TrainedOutputs) and isinstance(trained.parameters, FilterParameters):
        return (draw_filters(trained.parameters, outputs),)
    return ()


def _units(stages: Sequence[Stage], sample: Sample | None) -> tuple[str, ...]:
    return () if sample is None else draw_all_units(stages, sample.x)


def _weight_pictures(network: Network, stages: Sequence[Stage]) -> tuple[Picture, ...]:
    """Show filters where there are some: the matrix that a convolution unfolds to says little."""
    filters = draw_convolutions(network)
    return (*filters, *draw_weights(stages))


def _rule_text(rule: Rule, sample: Sample) -> _RuleText:
    names = [printable(name) for name in sample.features]
    shown = rule.written_conditions[:MOST_CONDITIONS]
    lines = [("AND" if i else "IF", condition.render(names)) for i, condition in enumerate(shown)]
    lines = lines or [("IF", "always")]
    left = len(rule.written_conditions) - len(shown)
    if left:
        lines.append(("AND", f"{left} more conditions"))
    for name, form in zip(sample.outputs, rule.written_forms, strict=True):
        lines.append(("THEN", f"{printable(name)} = {form.render(names)}"))
    return _RuleText(rule_summary(rule, sample), tuple(lines))


def _rules_note(rules: Rules) -> str:
    return (
        f"The {counted(len(rules.sample.x), 'row')} of the data lie in "
        f"{counted(len(rules.rules), 'linear region')} of the network, and each row meets the "
        "conditions of one rule. Numbers are rounded so that conditions keep their truth at every row; "
        f"formulas are off by at most {rules.deviation:.2g} there."
    )


def _rules_left(rules: Rules) -> str:
    hidden = rules.rules[MOST_RULES:]
    if not hidden:
        return ""
    rows = sum(len(rule.rows) for rule in hidden)
    return f"{len(hidden)} more rules, of {rows} rows together, are not shown; verinet rules prints all."
