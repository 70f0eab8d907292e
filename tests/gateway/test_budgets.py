"""Contract 25: alerts on used budgets fire at the true share. The rules that ship are held against the metric that a real gateway exposes."""

import asyncio
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from slipway_gateway.buckets import Use
from slipway_gateway.budgets import METRIC, Budgets, Named, budgets_of
from slipway_gateway.keys import Key, Limits
from slipway_gateway.keystores import FileKeys
from slipway_gateway.limiter import Limiter
from slipway_shared import errors, logs
from slipway_shared.metrics import Metrics

RULES = Path(__file__).parents[2] / "deploy/prometheus/rules/budgets.yaml"
EXPRESSION = re.compile(r"max by \(tenant, key\) \((\w+)\) >= ([\d.]+)")
ADMIN = "admin-token-of-this-test"
SECONDS = 0.05
COST = 7 * 1000 + 7 * 2000
"""Micro-dollars of one answer of the fake generator."""


def rules() -> dict[str, str]:
    """Expressions by alert."""
    return {rule["alert"]: rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def shares(exposition: str) -> dict[Named, float]:
    """What the metric tells."""
    found = [family for family in text_string_to_metric_families(exposition) if family.name == METRIC]
    return {Named(**sample.labels): sample.value for family in found for sample in family.samples}


def firing(exposition: str) -> set[tuple[str, Named]]:
    """The alerts that the rules raise on one gateway's metrics: their expressions, evaluated."""
    out: set[tuple[str, Named]] = set()
    for alert, expression in rules().items():
        read = EXPRESSION.fullmatch(expression)
        assert read and read[1] == METRIC, f"teach this test the expression of {alert}: {expression}"
        out |= {(alert, named) for named, share in shares(exposition).items() if share >= float(read[2])}
    return out


async def told(platform: Any) -> str:
    """The metrics, after every budget was looked at anew."""
    await asyncio.sleep(SECONDS * 3)
    async with platform.client.get("/metrics") as response:
        return await response.text()


async def made(platform: Any, **limits: Any) -> tuple[dict[str, str], Named]:
    """A new key: its header and the labels of its budget."""
    asked = {"tenant": "acme", **limits}
    async with platform.client.post("/admin/keys", json=asked, headers={"authorization": f"Bearer {ADMIN}"}) as response:
        key = await response.json()
    return {"authorization": f"Bearer {key['key']}"}, Named("acme", key["id"])


async def ask(platform: Any, auth: dict[str, str], **more: Any) -> int:
    asked = {"model": "chat", "messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 7, **more}
    async with platform.client.post("/v1/chat/completions", json=asked, headers=auth) as response:
        await response.read()
        return response.status


@pytest.fixture(params=["redis", "local"])
async def platform(start: Any, redis_server: Any, tmp_path: Path, request: Any) -> Any:
    where = {"redis_url": redis_server.url, "redis_seconds": 5} if request.param == "redis" else {"keys_file": tmp_path / "keys.json"}
    prices = {"chat": {"input": 1000, "output": 2000}}
    async with start(admin_token=ADMIN, key_cache_seconds=0, safety_url=None, prices=prices, budget_seconds=SECONDS, **where) as running:
        yield running


async def test_an_alert_fires_at_its_share_and_not_before(platform: Any) -> None:
    auth, key = await made(platform, limits={"budget_usd": 5 * COST / 1e6})
    other, _ = await made(platform, limits={"budget_usd": 1000})
    assert await ask(platform, other) == 200
    for paid in range(1, 4):
        assert await ask(platform, auth) == 200
        metrics = await told(platform)
        assert shares(metrics)[key] == pytest.approx(paid / 5) and not firing(metrics)
    assert await ask(platform, auth) == 200
    metrics = await told(platform)
    assert shares(metrics)[key] == pytest.approx(0.8) and firing(metrics) == {("SlipwayBudgetMostlyUsed", key)}
    assert await ask(platform, auth) == 429  # its estimate does not fit any more; a refusal is not paid for
    assert firing(await told(platform)) == {("SlipwayBudgetMostlyUsed", key)}


async def test_what_a_running_request_has_reserved_raises_no_alarm(platform: Any) -> None:
    """Its estimate is nearly the whole budget, its cost a sixth."""
    auth, key = await made(platform, limits={"budget_usd": 6 * COST / 1e6})
    platform.generator.hold = 2
    asked = asyncio.create_task(ask(platform, auth, stream=True, max_tokens=58))
    while not platform.generator.seen:
        await asyncio.sleep(0.01)
    metrics = await told(platform)
    assert await ask(platform, auth) == 429, "the reservation was not that large"
    assert shares(metrics)[key] == 0 and not firing(metrics)
    platform.generator.go.set()
    assert await asked == 200
    assert shares(await told(platform))[key] == pytest.approx(1 / 6)


async def test_keys_of_one_tenant_are_told_together_and_a_revoked_key_no_longer(platform: Any) -> None:
    one, first = await made(platform, tenant_limits={"budget_usd": 4 * COST / 1e6}, limits={"budget_usd": 8 * COST / 1e6})
    two, _ = await made(platform, tenant_limits={"budget_usd": 4 * COST / 1e6})
    assert [await ask(platform, auth) for auth in (one, two, two)] == [200, 200, 200]
    assert shares(await told(platform)) == pytest.approx({first: 1 / 8, Named("acme", ""): 3 / 4})
    async with platform.client.delete(f"/admin/keys/{first.key}", headers={"authorization": f"Bearer {ADMIN}"}) as response:
        assert response.status == 200
    assert shares(await told(platform)) == pytest.approx({Named("acme", ""): 3 / 4})


async def test_a_gateway_that_served_nothing_tells_the_same(start: Any, redis_server: Any) -> None:
    """What was spent through one gateway is told by the others, also by one that starts later."""
    where = {"redis_url": redis_server.url, "redis_seconds": 5, "admin_token": ADMIN, "budget_seconds": SECONDS, "safety_url": None}
    prices = {"chat": {"input": 1000, "output": 2000}}
    async with start(prices=prices, **where) as one:
        auth, key = await made(one, limits={"budget_usd": 2 * COST / 1e6})
        assert await ask(one, auth) == 200
        await told(one)
    async with start(prices=prices, **where) as two:
        assert shares(await told(two)) == {key: 0.5}
        redis_server.stop()
        assert shares(await told(two)) == {key: 0.5}, "money that was spent stays spent while the store is away"


async def test_with_the_month_the_share_is_gone(tmp_path: Path) -> None:
    """Whether the store can be read then or not."""
    store, metrics = FileKeys(tmp_path / "keys.json"), Metrics("gateway")
    key = Key(id="key_a", tenant="acme", digest="d", limits=Limits(budget_usd=1))
    await store.put(key)
    now = time.time()
    limiter = Limiter(None, metrics, local_share=1, lease_seconds=60, clock=lambda: now)
    budgets = Budgets(store, limiter, metrics, logs.get("gateway"), seconds=1)
    grant = await limiter.reserve(key, "r", Use(micros=900_000))
    await limiter.settle(grant, tokens=0, micros=900_000)
    await budgets.look(store)
    assert shares(metrics.exposition().decode()) == {Named("acme", "key_a"): 0.9}
    now += 32 * 86_400
    await budgets.look(store)
    assert shares(metrics.exposition().decode()) == {Named("acme", "key_a"): 0}
    (tmp_path / "keys.json").write_text("no JSON")
    with pytest.raises(errors.UpstreamFailed):
        await store.all()
    await budgets.look(store)
    assert shares(metrics.exposition().decode()) == {Named("acme", "key_a"): 0}
    now += 32 * 86_400
    await budgets.look(store)
    assert shares(metrics.exposition().decode()) == {}


def test_only_budgets_that_can_refuse_are_told() -> None:
    keys = [
        Key(id="a", tenant="t", digest="1", limits=Limits(budget_usd=1), tenant_limits=Limits(budget_usd=5)),
        Key(id="b", tenant="t", digest="2", limits=Limits(requests_per_minute=1), tenant_limits=Limits(budget_usd=3)),
        Key(id="c", tenant="u", digest="3", limits=Limits(budget_usd=1), expires=99),
    ]
    found = {named: scope.limits.budget_usd for named, scope in budgets_of(keys, 100).items()}
    assert found == {Named("t", "a"): 1, Named("t", ""): 3}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, which comes with Prometheus")
@pytest.mark.parametrize(
    ("paid", "alerts"), [(0.79, []), (0.8, ["MostlyUsed"]), (0.94, ["MostlyUsed"]), (0.95, ["MostlyUsed", "NearlyUsedUp"])]
)
def test_prometheus_reads_the_rules_as_this_test_does(paid: float, alerts: list[str], tmp_path: Path) -> None:
    labels = {"tenant": "acme", "key": "key_a"}
    metrics = Metrics("gateway")
    metrics.gauge(METRIC, **labels).set(paid)
    assert {alert for alert, _ in firing(metrics.exposition().decode())} == {f"SlipwayBudget{name}" for name in alerts}
    series = f'{METRIC}{{tenant="acme", key="key_a", instance="%s"}}'
    severity = {"SlipwayBudgetMostlyUsed": "info", "SlipwayBudgetNearlyUsedUp": "warning"}
    tests = [
        {
            "input_series": [{"series": series % "one", "values": f"{paid}x5"}, {"series": series % "two", "values": "0.1x5"}],
            "interval": "15s",
            "promql_expr_test": [
                {"expr": f'ALERTS{{alertname="{alert}", severity="{kind}"}}', "eval_time": "1m", "exp_samples": [
                    {"labels": f'ALERTS{{alertname="{alert}", alertstate="firing", key="key_a", severity="{kind}", tenant="acme"}}', "value": 1}
                ] if alert.removeprefix("SlipwayBudget") in alerts else []}
                for alert, kind in severity.items()
            ],
        }
    ]  # fmt: skip
    at = tmp_path / "tests.yaml"
    at.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", str(at)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
