"""What the doctor says about one model: a line for each thing that decides whether its calls are read as it means them.

    checks = diagnose(look, examined)
    usable(checks)   # of `bench.doctor.machine`

Where a line is wrong its `fix` says what to do. Knows no table and reads no file.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench import numbers
from bench.doctor.checkup import NO_FORMAT, Examined, Look, Token
from bench.doctor.machine import Check
from engine import formats
from engine.formats.protocol import ToolFormat

_STATES = {
    "opened": "the prompt opens it",
    "possible": "the model may open it",
    "none": "none",
    "error": "the chat template refuses",
}
# Findings that lines of their own say already.
_SAID_ABOVE = {"no-template", "format-unknown", "format-not-recognised", "format-disagrees", "marker-not-a-token"}
# Findings with which a model runs as well as without.
_NOTES = {"thinking-ignored", "reasoning-effort-ignored", "calls-not-shown", "words-not-shown", "system-not-kept"}


def diagnose(look: Look, examined: Examined) -> list[Check]:
    """Every line, in reading order; the self-check's findings last."""
    fmt = formats.NATIVE.get(look.format_id or "")
    lines = [_file(look), _template(look), _format(look, examined)]
    lines += [_markers(look, examined)] if fmt and fmt.markers else []
    lines += [*_tokens(examined), _reasoning(fmt or formats.ENVELOPE, examined)]
    lines += [Check("limits", "ok", limit) for limit in (fmt.limits if fmt else ())]
    return [*lines, *_findings(examined)]


def _file(look: Look) -> Check:
    file = look.file
    assert file is not None
    facts = [file.arch, file.quant, numbers.size(file.n_bytes)]
    facts += [f"{numbers.count(file.n_params)} parameters"] if file.n_params else ["no weights"]
    facts += [f"trained for {numbers.count(file.n_ctx_train)} tokens"] if file.n_ctx_train else []
    return Check("file", "ok", f"{file.path}: {', '.join(facts)}")


def _template(look: Look) -> Check:
    if look.template is None:
        return Check("chat template", "fail", "none", "give one with --chat-template FILE")
    n_others = len(look.file.templates) - look.is_own_template if look.file else 0
    more = f"; {numbers.plural(n_others, 'other one')} in the file" if n_others else ""
    size = numbers.plural(look.template.count("\n") + 1, "line")
    return Check("chat template", "ok", f"{look.template_from}, {size}, sha256 {look.template_sha256}{more}")


def _format(look: Look, examined: Examined) -> Check:
    if look.format_id is None:
        return Check("format", "fail", "not recognised", NO_FORMAT)
    if look.disagreement:
        return Check("format", "fail", look.disagreement, NO_FORMAT)
    detection = look.evidence(examined.tokens)
    texts = " and ".join(detection.texts) if detection else ""
    because = f", because the chat template has {texts}" if texts else ""
    by = "" if look.decided_by == "the chat template" else f" by {look.decided_by}"
    return Check("format", "ok", f"{look.format_id}{by}{because}")


def _markers(look: Look, examined: Examined) -> Check:
    fmt = formats.NATIVE[str(look.format_id)]
    kinds = examined.tokens.kinds
    found = ", ".join(f"{text} ({kinds.get(text, 'no token of its own')})" for text in fmt.markers)
    return Check("markers", "ok" if all(text in kinds for text in fmt.markers) else "note", found)


def _tokens(examined: Examined) -> Iterator[Check]:
    tokens = examined.tokens

    def shown(token: Token | None) -> str:
        return f"{token.text} ({token.id})" if token else "none"

    adds = "" if tokens.bos is None else ", added to every prompt" if tokens.adds_bos else ", left to the template"
    yield Check("vocabulary", "ok", f"{numbers.count(tokens.n_tokens)} tokens")
    yield Check("BOS, EOS", "ok", f"{shown(tokens.bos)}{adds}; {shown(tokens.eos)}")
    if tokens.ends:
        yield Check("answers end at", "ok", ", ".join(map(shown, tokens.ends)))
    else:
        fix = "convert the model again; without such a token no answer ends by itself"
        yield Check("answers end at", "fail", "no token ends a generation", fix)


def _reasoning(fmt: ToolFormat, examined: Examined) -> Check:
    states = {reasons.thinking: _STATES[reasons.state] for reasons in examined.reasons}
    if not states:
        return Check("reasoning", "note", "not known without a chat template")
    marks = f"{fmt.frame.open.strip()} ... {fmt.frame.close.strip()}"
    auto = states["auto"]
    if len(set(states.values())) == 1:
        return Check("reasoning", "ok", auto if auto == _STATES["none"] else f"between {marks}: {auto}")
    switched = ", ".join(f"--thinking {name}: {states[name]}" for name in ("on", "off") if states[name] != auto)
    return Check("reasoning", "ok", f"between {marks}: {auto}; {switched}")


def _findings(examined: Examined) -> Iterator[Check]:
    if not examined.findings:
        yield Check("self-check", "ok", "a call, two calls and a result are rendered and read back as the format says")
    for finding in examined.findings:
        if finding.name in _SAID_ABOVE:
            continue
        yield Check(finding.name, "note" if finding.name in _NOTES else "fail", finding.message)
