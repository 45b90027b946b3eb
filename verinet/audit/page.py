"""One page about a network: what it is, formulas, effects, rules and pictures, in one file that needs nothing else."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from verinet.audit.directions import Direction, Effect, effects_of
from verinet.audit.drawings import Drawings, draw_all
from verinet.audit.effects_picture import draw_effects
from verinet.audit.formulas import formulas_of
from verinet.audit.names import counted, printable
from verinet.audit.reach import reached_inputs
from verinet.audit.rules import Rule, Rules, Sample, rule_summary
from verinet.audit.stages import Stage, network_stages, too_large
from verinet.audit.trained import Trained, reached, training_records
from verinet.audit.weights_picture import draw_convolutions, draw_weights
from verinet.model import Network
from verinet.train import TrainingRecord

__all__ = ["network_page"]

NO_DATA = "Effects are decided over the range of data; none were given."
NOTHING_READ = "The network reads no feature: its output is constant."
NO_RULES = "Rules are the linear regions that data fall in; no data were given. See verinet rules."
TOO_MANY_RULES = "Rules of so large a network over so many rows may take minutes; see verinet rules."
TEMPLATE = "page.html.jinja"
MOST_FORMULAS, MOST_RULES, MOST_CONDITIONS, MOST_NAMES = 60, 20, 12, 60
MOST_CHARACTERS = 10_000
"""Formulas that are longer all together are shown when asked for."""

MOST_EFFECTS, MOST_UNIT_PICTURES, LONGEST_FORMULA = 60, 10, 1000

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
    trained: "Trained | None" = None,
    drawings: Drawings | None = None,
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
    drawings : Drawings or None
        Pictures that are drawn already.

    Returns
    -------
    str
        An HTML document with all pictures in it; it runs no script and loads nothing. Of a network that is too large to
        be read unit by unit it has a few sections only, and says so.
    """
    # Imported here: a verdict needs no pages.
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    features, outputs = [printable(n) for n in features], [printable(n) for n in outputs]
    complaint = too_large(network)
    stages = () if complaint else network_stages(network, features, outputs)
    formulas = formulas_of(network, features, outputs, trained).split("\n")
    drawings = drawings or draw_all(network, features, outputs, None if sample is None else sample.x, trained)
    # Trained filters are drawn with more detail, and their formulas are those of one place.
    convolutions = () if drawings.filters else draw_convolutions(network)
    effects = () if sample is None or complaint else _effects(network, sample)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    template = environment.from_string(files("verinet.audit").joinpath(TEMPLATE).read_text(encoding="utf-8"))

    def inline(svg: str) -> Markup:
        """Trust a picture of our own: names in it are escaped where it is drawn."""
        return Markup(svg[svg.index("<svg") :])  # noqa: S704

    return template.render(
        title=printable(title),
        size=_size(network, stages),
        facts=_facts(network, stages, features),
        goals=() if trained is None else reached(trained, outputs),
        training=() if trained is None else _training_facts(trained, outputs),
        graph=drawings.network and inline(drawings.network),
        complaint=complaint,
        formulas=_shown_formulas(formulas),
        has_convolutions=bool(convolutions),
        are_short=sum(map(len, formulas)) <= MOST_CHARACTERS,
        formulas_count="why not" if formulas == [complaint] else counted(len(formulas), "formula"),
        effects=[_effect_row(e, features, outputs) for e in effects] if len(effects) <= MOST_EFFECTS else (),
        effects_counted=_counted_effects(effects) if len(effects) > MOST_EFFECTS else (),
        effects_map=inline(draw_effects(network, effects, features, outputs)) if len(effects) > MOST_EFFECTS else "",
        effects_missing=complaint or (NO_DATA if sample is None else NOTHING_READ),
        many_outputs=len(outputs) > 1,
        rules=() if rules is None else tuple(_rule_text(rule, rules.sample) for rule in rules.rules[:MOST_RULES]),
        rules_note="" if rules is None else _rules_note(rules),
        rules_left="" if rules is None else _rules_left(rules),
        rules_missing=NO_RULES if sample is None else TOO_MANY_RULES,
        filters=[inline(svg) for svg in drawings.filters],
        units=[inline(svg) for svg in drawings.units[:MOST_UNIT_PICTURES]],
        units_left=max(0, len(drawings.units) - MOST_UNIT_PICTURES),
        weights=[
            {"caption": p.caption, "svg": inline(p.svg) if p.svg else ""}
            for p in (*convolutions, *draw_weights(stages))
        ],
        progress=[inline(svg) for svg in drawings.progress],
    )


def _size(network: Network, stages: Sequence[Stage]) -> str:
    sizes = [len(stage.units) for stage in stages[1:-1]]
    hidden = f" Hidden units that lead to an output, stage by stage: {', '.join(map(str, sizes))}." if sizes else ""
    return (
        f"A piecewise-linear network of {counted(network.size_in, 'input')}, {counted(network.size_out, 'output')} and "
        f"{counted(network.neurons, 'hidden unit')}.{hidden}"
    )


def _shown_formulas(lines: Sequence[str]) -> list[str]:
    """Cut what is too long to be read: of many formulas the first and the last, of long ones the beginning."""
    left_out = len(lines) - MOST_FORMULAS
    half = MOST_FORMULAS // 2
    if left_out > 0:
        lines = [*lines[:half], f"... {left_out} more ...", *lines[-half:]]
    return [_cut(line) for line in lines]


def _cut(line: str) -> str:
    """End a long formula at one of its signs."""
    if len(line) <= LONGEST_FORMULA:
        return line
    end = max(line.rfind(sign, 0, LONGEST_FORMULA) for sign in (" + ", " - ", ", "))
    return f"{line[: end if end > 0 else LONGEST_FORMULA]} ... and more"


def _facts(network: Network, stages: Sequence[Stage], features: Sequence[str]) -> list[tuple[str, str]]:
    read = reached_inputs(network)
    names = [features[j] for j in read]
    left_out = [name for j, name in enumerate(features) if j not in read]
    nonzeros = sum(int(matrix.nnz) for stage in stages for matrix in stage.sources.values())
    return [
        ("features read", f"{len(names)} of {len(features)}: {_listed(names)}"),
        ("features not read", _listed(left_out)),
        *(
            [("weights that are not zero", f"{nonzeros}, those of the outputs included; counted once a use")]
            * bool(stages)
        ),
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "none") + more


def _training_facts(trained: Trained, outputs: Sequence[str]) -> list[tuple[str, str]]:
    """List how each training went, under the names of the outputs where there are several."""
    records = training_records(trained)
    names = [f", {output}" for output in outputs] if len(records) > 1 else [""]
    return [(what + name, text) for name, r in zip(names, records, strict=True) for what, text in _record_facts(r)]


def _record_facts(record: TrainingRecord) -> list[tuple[str, str]]:
    size = f"{counted(record.units, 'unit')}, {counted(record.nonzeros, 'non-zero weight')}"
    kept = () if record.universal is None else record.universal.kept
    return [
        ("trained", f"{size}; {counted(record.samples, 'distinct row')}, {record.seconds:.1f} s, {record.solver}"),
        *(("holds everywhere", f"{k.name}: {k.verdict}, {k.engine}") for k in kept),
        *(("note", note) for note in record.notes),
    ]


def _effects(network: Network, sample: Sample) -> tuple[Effect, ...]:
    """Decide the effects of the features that an output reads."""
    read = {(i, j) for i in range(network.size_out) for j in reached_inputs(network, i)}
    return tuple(e for e in effects_of(network, sample.x) if (e.output, e.feature) in read)


def _effect_row(effect: Effect, features: Sequence[str], outputs: Sequence[str]) -> _EffectRow:
    direction = effect.direction
    return _EffectRow(
        features[effect.feature], outputs[effect.output], direction.value, effect.basis, STYLES[direction]
    )


def _counted_effects(effects: Sequence[Effect]) -> list[tuple[str, str, int]]:
    """Count what is known, by who says so."""
    return [(*key, count) for key, count in Counter((e.direction.value, e.basis) for e in effects).most_common()]


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
