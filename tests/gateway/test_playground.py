"""The playground in a real headless Chromium: ask, stream, open a citation, upload, and no key or markup where it does not belong."""

import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

pytestmark = pytest.mark.browser
KEY = "test-key-of-the-local-tenant"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncGenerator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed; .ci/run installs it")
        pytest.skip("chromium is not installed (apt-get install chromium)")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS), headless=True)
        yield running
        await running.close()


async def opened(browser: Browser, platform: Any, problems: list[str], *, fragment: str = f"#key={KEY}") -> Page:
    page = await browser.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    await page.goto(f"{platform.url}/{fragment}")
    return page


async def test_a_question_is_answered_with_a_citation_that_opens(platform: Any, browser: Browser) -> None:
    problems: list[str] = []
    page = await opened(browser, platform, problems)
    await expect(page.locator("#model option")).to_have_count(2)
    assert KEY not in page.url
    await page.locator("#question").fill("What is the capital of France?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".finished .said")).to_contain_text("Paris is the capital of France.")
    await expect(page.locator(".timings")).to_contain_text("first token")
    await expect(page.locator(".timings")).to_contain_text("rerank")
    await expect(page.locator(".timings")).to_contain_text("7 + 7 tokens")
    await page.locator(".cite").click()
    await expect(page.locator("#source-name")).to_have_text("doc0.md")
    await expect(page.locator("#source-text mark")).to_have_text("Paris is the capital of France. It lies on the Seine.")
    await page.keyboard.press("Escape")
    await expect(page.locator("#source")).to_be_hidden()
    assert problems == []


async def test_what_a_model_says_is_text_and_never_markup(platform: Any, browser: Browser) -> None:
    problems: list[str] = []
    platform.generator.text = "<img src=x onerror=alert(1)><script>alert(2)</script> & so on"
    page = await opened(browser, platform, problems)
    await page.locator("#model").select_option("chat")
    await page.locator("#retrieval").uncheck()
    await page.locator("#question").fill("<b>hello</b>")
    await page.locator("#send").click()
    await expect(page.locator(".finished .said")).to_have_text(platform.generator.text)
    assert await page.locator(".said img, .said script, .asked b").count() == 0
    assert problems == []


async def test_outcomes_are_named_and_errors_are_shown(platform: Any, browser: Browser) -> None:
    page = await opened(browser, platform, [])
    await expect(page.locator("#model option")).to_have_count(2)
    platform.generator.text = "London is the capital. [1]"
    await page.locator("#question").fill("What is the capital of France?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".finished .tag")).to_have_attribute("data-type", "fallback")
    platform.safety.down = True
    await page.locator("#question").fill("And now?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".tag.error")).to_contain_text("safety filter is away")


async def test_without_a_key_the_page_asks_for_one(platform: Any, browser: Browser) -> None:
    page = await opened(browser, platform, [], fragment="")
    await expect(page.locator("#key")).to_be_focused()
    await page.locator("#key").fill(KEY)
    await page.locator("#key").blur()
    await expect(page.locator("#model option")).to_have_count(2)


async def test_the_documentation_draws_the_api_without_loading_anything_from_elsewhere(platform: Any, browser: Browser) -> None:
    problems: list[str] = []
    page = await browser.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    await page.goto(f"{platform.url}/docs")
    await expect(page.locator(".operation h2", has_text="/v1/chat/completions")).to_be_visible()
    await expect(page.locator(".operation h2", has_text="/v1/responses").first).to_be_visible()
    assert problems == []


async def test_the_page_may_load_nothing_from_elsewhere(platform: Any) -> None:
    async with platform.client.get("/") as response:
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "unsafe" not in response.headers["content-security-policy"]
        assert "http://" not in await response.text() and "https://" not in await response.text()
