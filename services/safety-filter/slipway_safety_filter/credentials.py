"""Keys, tokens and passwords: known prefixes, key blocks, assignments, and runs too random to be words.

It knows the shapes that issuers publish for secret scanners, and Shannon entropy. It refuses to know whether a key is live.
"""

# ruff: noqa: E501 (a pattern is one line)
import math
from itertools import pairwise

from slipway_safety_filter.pattern import Pattern, linear
from slipway_safety_filter.spans import MAX_MATCH_CHARS, Span

_PLACEHOLDER = linear(
    r"(?i)^(?:[x*.<\[{$%_\-]+.*|.*(?:your|example|placeholder|changeme|change-me|redacted|dummy|sample|xxxx|\*\*\*|\.\.\.|\{\{|\$\{|<|env|getenv|settings|config|none|null|true|false|string|required|optional).*)$"
)
_RUN = linear(r"[A-Za-z0-9+/_\-]{24,}={0,2}")
_UUID = linear(r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$")
_CHARACTER = r"[A-Za-z0-9_\-]"


def _secret_value(value: str) -> bool:
    """A value that was assigned to a secret's name and is not a placeholder or a plain word."""
    kinds = sum((any(c.islower() for c in value), any(c.isupper() for c in value), any(c.isdigit() for c in value), not value.isalnum()))
    return _PLACEHOLDER.match(value) is None and (kinds >= 3 or (kinds == 2 and any(c.isdigit() for c in value)))


def _jwt(value: str) -> bool:
    return value.count(".") >= 1


PATTERNS: tuple[Pattern, ...] = (
    Pattern("secret", "aws_access_key", r"\b(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[0-9A-Z]{16}\b", 0.99),
    Pattern("secret", "github_token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})", 0.99),
    Pattern("secret", "gitlab_token", rf"\bgl(?:pat|dt|rt|ptt|soat|ft|cbt)-{_CHARACTER}{{20,}}", 0.99),
    Pattern("secret", "slack_token", rf"\bxox[abeoprs](?:\.xox[bp])?-{_CHARACTER}{{10,}}", 0.99),
    Pattern("secret", "slack_webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_\-]{20,}", 0.99),
    Pattern("secret", "stripe_key", r"\b(?:sk|rk|whsec)_(?:(?:live|test)_)?[A-Za-z0-9]{16,}", 0.98),
    Pattern("secret", "openai_key", rf"\bsk-(?:(?:proj|svcacct|admin|ant|or|lf)-)?{_CHARACTER}{{20,}}", 0.97, 1),
    Pattern("secret", "google_key", rf"\bAIza{_CHARACTER}{{35}}|\bGOCSPX-{_CHARACTER}{{20,40}}|\bya29\.{_CHARACTER}{{20,}}", 0.98),
    Pattern("secret", "package_token", rf"\bnpm_[A-Za-z0-9]{{36}}|\bpypi-AgE{_CHARACTER}{{40,}}|\bhf_[A-Za-z]{{30,40}}\b|\bdckr_pat_{_CHARACTER}{{20,60}}|\brubygems_[a-f0-9]{{48}}", 0.99),
    Pattern("secret", "cloud_token", rf"\bdo[opr]_v1_[a-f0-9]{{64}}|\bdapi[a-f0-9]{{32}}|\bhv[sbr]\.{_CHARACTER}{{20,}}|\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{{32}}|\bsq0[a-z]{{3}}-{_CHARACTER}{{20,60}}|\bEAAA[A-Za-z0-9_\-]{{50,}}|\bAGE-SECRET-KEY-1[0-9A-Z]{{58}}|\btfp_[A-Za-z0-9]{{40,60}}|\bgsk_[A-Za-z0-9]{{40,60}}|\br8_[A-Za-z0-9]{{37}}|\blin_api_[A-Za-z0-9]{{40}}|\bntn_[A-Za-z0-9]{{40,60}}|\bglsa_[A-Za-z0-9]{{32}}_[a-f0-9]{{8}}",
            0.99),
    Pattern("secret", "mail_token", rf"\bSG\.{_CHARACTER}{{16,32}}\.{_CHARACTER}{{32,64}}|\bkey-[0-9a-f]{{32}}\b|\b[0-9a-f]{{32}}-us\d{{1,2}}\b", 0.97),
    Pattern("secret", "twilio", r"\b(?:AC|SK)[0-9a-f]{32}\b", 0.9, 4),
    Pattern("secret", "telegram_bot", rf"\b\d{{8,10}}:AA{_CHARACTER}{{32,34}}", 0.97),
    Pattern("secret", "discord_token", rf"\b[MNO][A-Za-z\d]{{23,27}}\.{_CHARACTER}{{6}}\.{_CHARACTER}{{27,40}}", 0.95, 1),
    Pattern("secret", "jwt", r"\beyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]{4,}){0,2}", 0.95, 0, _jwt, raw=True),
    Pattern("secret", "private_key_block", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----", 0.99),
    Pattern("secret", "url_password", r"\b[a-z][a-z0-9+.\-]{1,20}://[^\s:/@]{0,60}:([^\s:/@]{3,})@", 0.95, 0, lambda v: _PLACEHOLDER.match(v) is None, raw=True, ignore_case=True),
    Pattern("secret", "azure_key", r"(?:AccountKey|SharedAccessKey|sig)=([A-Za-z0-9+/%]{40,}={0,2})", 0.95),
    Pattern("secret", "bearer", r"\b[Bb]earer ([A-Za-z0-9._~+/\-]{20,}=*)", 0.9, 0, _secret_value, raw=True),
    Pattern("secret", "assigned",
            r"\b[a-z0-9_.\-]{0,30}(?:api[_\- ]?key|secret(?:[_\- ]?key)?|access[_\- ]?(?:key|token)|auth[_\- ]?token|client[_\- ]?secret|private[_\- ]?key|token|passw(?:or)?d|passwd|pwd|passphrase|credential)s?[\"']?\s{0,3}(?:=>|:=|=|:| is )\s{0,3}[\"']?([^\s\"'`,;<>]{8,})",
            0.85, 0, _secret_value, raw=True, ignore_case=True),
)  # fmt: skip


def entropy(run: str) -> float:
    """Shannon entropy of the characters of `run`, in bits per character."""
    counts = [run.count(c) for c in set(run)]
    return -sum(n / len(run) * math.log2(n / len(run)) for n in counts)


def random_runs(text: str) -> list[Span]:
    """Unbroken runs that mix cases and digits at an entropy that no word reaches; each is at most MAX_MATCH_CHARS long, longer ones come in pieces."""
    spans: list[Span] = []
    for match in _RUN.finditer(text):
        start, end = match.span()
        while start < end:
            stop = min(end, start + MAX_MATCH_CHARS)
            if _random(text[start:stop]):
                spans.append(Span("secret", "high_entropy", start, stop, 0.75))
            start = stop
    return spans


def _random(run: str) -> bool:
    """Letters of both cases and digits throughout, or long hexadecimal; not a path, a UUID or a name_with_words."""
    if _UUID.match(run) or len(run) < 24:
        return False
    digits = sum(c.isdigit() for c in run)
    if all(c in "0123456789abcdef" for c in run) or all(c in "0123456789ABCDEF" for c in run):
        return False  # digests and commits: public far more often than secret; a named one is caught as assigned
    mixed = any(c.islower() for c in run) and any(c.isupper() for c in run) and digits >= 2
    turns = sum(_kind(a) != _kind(b) for a, b in pairwise(run))
    return mixed and entropy(run) >= 3.9 and turns >= 0.3 * len(run)


def _kind(char: str) -> int:
    return 0 if char.islower() else 1 if char.isupper() else 2 if char.isdigit() else 3
