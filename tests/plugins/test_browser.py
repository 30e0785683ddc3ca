"""The pages in a real browser, behind a real Airflow: safe from their texts, and used by hand in Airflow's frame.

That they are whole on every screen, and how they are read and judged, is shown on a demo's data: tests/test_demo.py.
"""

from urllib.parse import quote

import httpx
import pytest
from selenium.webdriver.common.action_chains import ActionChains

from support.browser import DARK, assert_whole, css, open_page, screen, until
from support.state import BEFORE, HOSTILE, HOSTILE_ID, HOSTILE_URL, VERSION

pytestmark = pytest.mark.slow

RELEASE = f"releases/{VERSION}"
SHOWN = HOSTILE.replace("\u202e", "⟨U+202E⟩").replace("\u202c", "⟨U+202C⟩")
OBEYED = "img[src=x], [onerror], [href^='javascript:' i], script:not([src*='/chimed/static/'])"
ATTACKED = {  # every page that shows crawled text or what was said of it, and where
    "": ".why",
    f"builds/{VERSION}": "table",
    "sources": "#ask39 .misses",
    RELEASE: ".barred",
    f"{RELEASE}/card": "article",
    f"{RELEASE}/examples?table=sft/train&words={quote(HOSTILE)}": ".rows .answer",
    f"{RELEASE}/records/{HOSTILE_ID}": ".way .replied",
    f"{RELEASE}/changes?against={BEFORE}": ".alarm",
    f"{RELEASE}/files": ".note",
    "review": "#words",
    "scores": ".sentences",
    "answers": ".beside",
    f"answers?release={VERSION}&recipe=demo&of=safety": ".sentences",
}


def test_attacks_are_shown_as_text(airflow, signed_in) -> None:
    driver = signed_in(390)
    for place, where in ATTACKED.items():
        open_page(driver, f"{airflow.url}/chimed/{place}")
        until(lambda where=where: SHOWN in "".join(one.get_attribute("textContent") for one in css(driver, where)))
        assert "pwned" not in driver.title, place
        assert css(driver, OBEYED) == [], place
        assert "\u202e" not in css(driver, "body")[0].get_attribute("textContent"), place
        assert_whole(driver, "light")
    for place in ("sources", f"{RELEASE}/records/{HOSTILE_ID}"):
        driver.get(f"{airflow.url}/chimed/{place}")
        assert HOSTILE_URL in css(driver, "main")[0].get_attribute("textContent")


def test_answers_fit_every_screen(airflow, signed_in, tmp_path) -> None:
    driver = signed_in()
    for width, scheme in ((1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")):
        screen(driver, width, scheme)
        for of in ("open_ended", "safety"):
            open_page(driver, f"{airflow.url}/chimed/answers?release={VERSION}&recipe=demo&of={of}")
            assert_whole(driver, scheme)
        tops = {one.location["y"] for one in css(driver, "article.asked:nth-of-type(2) .beside > section")}
        assert len(tops) == (1 if width == 1440 else 2)  # side by side, or one under the other
        driver.save_screenshot(str(tmp_path / f"answers-{width}-{scheme}.png"))


def test_what_a_verdict_brings_back_is_text_too(airflow, signed_in) -> None:
    driver = signed_in()
    driver.get(f"{airflow.url}/chimed/review")
    until(lambda: css(driver, "#words")[0].text == SHOWN)
    ActionChains(driver).send_keys("f").perform()
    until(lambda: SHOWN[:200].strip() in css(driver, "#said")[0].text)
    until(lambda: SHOWN in css(driver, "#disputes")[0].text)
    assert "pwned" not in driver.title
    assert css(driver, OBEYED) == []


def test_a_crawl_starts_from_airflows_frame(airflow, signed_in) -> None:
    driver = signed_in()
    driver.get(f"{airflow.url}/plugin/chimed/chimed/sources")
    driver.switch_to.frame(until(lambda: css(driver, "iframe[src*=chimed]"))[0])
    button = until(lambda: css(driver, "#ask39 a.button"))[0]
    driver.execute_script("arguments[0].click()", button)
    until(lambda: css(driver, "#crawl [name=max_pages]"))[0].send_keys("7")
    css(driver, "#crawl button")[0].click()
    run = until(lambda: css(driver, "#said a"))[0]
    said = {"Authorization": f"Bearer {airflow.tokens['admin']}"}
    known = httpx.get(f"{airflow.url}/api/v2/dags/crawl_ask39/dagRuns/{run.text}", headers=said, timeout=60).json()
    assert known["conf"] == {"week": None, "mode": "refresh", "max_pages": 7, "sections": None, "accept": False}
    run.click()
    driver.switch_to.default_content()
    until(lambda: "/dags/crawl_ask39/runs/" in driver.current_url)


def test_the_frame_follows_airflows_theme(airflow, signed_in) -> None:
    driver = signed_in()
    driver.get(f"{airflow.url}/chimed/static/style.css")
    driver.execute_script("localStorage.setItem('theme', 'dark'); localStorage.setItem('i18nextLng', 'zh-CN')")
    driver.get(f"{airflow.url}/plugin/chimed/chimed/")
    driver.switch_to.frame(until(lambda: css(driver, "iframe[src*=chimed]"))[0])
    until(lambda: "总览" in [one.text for one in css(driver, "main h1")])
    assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") == DARK
    chosen = until(lambda: css(driver, ".languages a[lang=en]"))[0]
    driver.execute_script("arguments[0].click()", chosen)
    until(lambda: "Overview" in [one.text for one in css(driver, "main h1")])  # what is chosen here, stays
    assert "data-live" in css(driver, "#live")[0].get_attribute("outerHTML")


def test_a_viewer_has_no_keys(airflow, signed_in) -> None:
    driver = signed_in(user="viewer")
    driver.get(f"{airflow.url}/chimed/review")
    assert not css(driver, "#desk")
    assert css(driver, ".note")


def test_three_weeks_are_backfilled_by_clicks(airflow, signed_in) -> None:
    """That a backfill's runs then fetch their weeks, and nothing twice, is shown in tests/dags/test_backfill.py."""
    from selenium.webdriver.common.keys import Keys

    driver = signed_in()
    said = {"Authorization": f"Bearer {airflow.tokens['admin']}"}
    driver.get(f"{airflow.url}/dags/crawl_ask120")
    until(lambda: "2 Crawl 120 Ask Health QA" in css(driver, "body")[0].text)
    until(lambda: "0 5 * * 1" in css(driver, "body")[0].text)  # the weekly schedule is to be seen
    until(lambda: css(driver, "button[aria-label='Trigger Dag']"))[0].click()
    until(lambda: driver.find_elements("xpath", "//span[text()='Backfill']"))[0].click()
    days = until(
        lambda: len(css(driver, "[data-testid=datetime-input]")) == 2 and css(driver, "[data-testid=datetime-input]")
    )
    for field, day in zip(days, ("2026/10/05", "2026/10/25"), strict=True):  # the first Monday, the last Sunday
        field.click()
        entry = until(lambda: [one for one in css(driver, "input[placeholder='YYYY/MM/DD']") if one.is_displayed()])[0]
        entry.send_keys(day, Keys.ENTER)
        ActionChains(driver).send_keys(Keys.ESCAPE).perform()
    run = until(lambda: driver.find_elements("xpath", "//button[text()='Run Backfill' and not(@disabled)]"))[0]
    driver.execute_script("arguments[0].click()", run)

    def runs() -> list[str]:
        address = f"{airflow.url}/api/v2/dags/crawl_ask120/dagRuns"
        found = httpx.get(address, headers=said, timeout=60).json()["dag_runs"]
        return sorted(one["partition_key"] for one in found if one["run_type"] == "backfill")

    assert until(runs) == ["2026-10-05", "2026-10-12", "2026-10-19"]
