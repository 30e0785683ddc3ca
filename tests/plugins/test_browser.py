"""The pages in a real browser, behind a real Airflow: shown whole, used by hand and keyboard, safe from their texts."""

import json
import time
from collections.abc import Callable

import httpx
import pytest
from state import HOSTILE, HOSTILE_ID, VERSION

from chimed.store import REVIEWS, open_store

pytestmark = pytest.mark.slow

RELEASE = f"releases/{VERSION}"
PAGES = (
    "", f"builds/{VERSION}", "sources", RELEASE, f"{RELEASE}/card", f"{RELEASE}/examples",
    f"{RELEASE}/records/{HOSTILE_ID}", f"{RELEASE}/changes", f"{RELEASE}/files", "review", "scores",
)  # fmt: skip


@pytest.fixture
def signed_in(airflow, chromium) -> Callable:
    """A function that opens a browser that carries a session."""

    def browser(width: int = 1440, scheme: str = "light", user: str = "admin"):
        driver = chromium(width, scheme)
        driver.get(f"{airflow.url}/chimed/static/style.css")
        driver.add_cookie({"name": "_token", "value": airflow.tokens[user], "path": "/"})
        driver.get_log("browser"), driver.get_log("performance")  # what the sign-in itself said
        return driver

    return browser


def css(driver, selector: str) -> list:
    return driver.find_elements("css selector", selector)


def until(what: Callable[[], object], seconds: float = 30) -> object:
    """What it gives once that is something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found


def asked_hosts(driver) -> set[str]:
    """Hosts of everything the browser asked for since it was asked last."""
    entries = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in entries if one["method"] == "Network.requestWillBeSent"]
    return {url.split("/")[2] for url in urls if url.startswith("http")}


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_every_page_is_shown_whole_and_asks_nobody_else(airflow, signed_in, width, scheme) -> None:
    driver = signed_in(width, scheme)
    for place in PAGES:
        driver.get(f"{airflow.url}/chimed/{place}")
        until(lambda: not css(driver, "meta[http-equiv=refresh]"))
        assert css(driver, "main h1")[0].text, place
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), place
        colour = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (colour == "rgb(21, 24, 22)") == (scheme == "dark")
        loud = [entry for entry in driver.get_log("browser") if "favicon" not in entry["message"]]
        assert loud == [], place
        assert asked_hosts(driver) == {airflow.url.removeprefix("http://")}


def test_in_airflows_frame_a_crawl_is_started_and_its_link_leads_out_of_it(airflow, signed_in) -> None:
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
    assert known["conf"] == {"mode": "refresh", "max_pages": 7, "sections": None}
    run.click()
    driver.switch_to.default_content()
    until(lambda: "/dags/crawl_ask39/runs/" in driver.current_url)


def test_rows_are_filtered(airflow, signed_in) -> None:
    driver = signed_in()
    driver.get(f"{airflow.url}/chimed/{RELEASE}/examples")
    css(driver, "select[name=source] option[value=ask120]")[0].click()
    css(driver, "form.filters button")[0].click()
    until(lambda: "source=ask120" in driver.current_url)
    tags = [row.find_elements("css selector", ".tag")[0].text for row in css(driver, ".rows > li")]
    assert tags == ["120 Ask Health QA"] * 10
    until(lambda: css(driver, "a[rel=next]"))[0].click()
    until(lambda: "start=" in driver.current_url)
    assert css(driver, ".rows > li")


def test_a_row_is_traced_to_its_page_with_prompts_and_replies(airflow, signed_in) -> None:
    driver = signed_in()
    driver.get(f"{airflow.url}/chimed/{RELEASE}/examples?table=sft/train")
    css(driver, ".rows a.mono")[0].click()
    until(lambda: "/records/" in driver.current_url)
    steps = [step.text for step in css(driver, ".way > li > h3")]
    assert steps[0] == "The page"
    assert steps[-1].startswith("The row")
    css(driver, "details.replies summary")[0].click()
    assert "问问问" in css(driver, ".reply .user")[0].text
    assert "否" in css(driver, ".reply .replied")[0].text


def test_a_record_that_attacks_is_shown_as_text(airflow, signed_in) -> None:
    driver = signed_in()
    shown = HOSTILE.replace("\u202e", "⟨U+202E⟩").replace("\u202c", "⟨U+202C⟩")
    places = (f"{RELEASE}/records/{HOSTILE_ID}", f"{RELEASE}/examples?words=pwned", RELEASE, "sources", "review")
    for place in places:
        driver.get(f"{airflow.url}/chimed/{place}")
        until(lambda: not css(driver, "meta[http-equiv=refresh]"))
        until(lambda: "pwned" in driver.find_element("css selector", "main").get_attribute("textContent"))
        assert "pwned" not in driver.title, place
        assert not css(driver, "img[src=x], [onerror], a[href^=javascript]"), place
        assert all("/static/" in one.get_attribute("src") for one in css(driver, "script")), place
    driver.get(f"{airflow.url}/chimed/{RELEASE}/records/{HOSTILE_ID}")
    assert shown in driver.find_element("css selector", ".way .answer dd").text
    driver.get(f"{airflow.url}/chimed/review")
    assert until(lambda: css(driver, "#words")[0].text) == shown


def test_ten_verdicts_by_keyboard_without_loading_the_page_again(airflow, signed_in) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    driver = signed_in(390)
    driver.get(f"{airflow.url}/chimed/review")
    until(lambda: css(driver, "#record")[0].text)
    driver.execute_script("window.stayed = true")
    judged = []
    for key in "fjfjfjfjfj":
        judged.append(css(driver, "#record")[0].text)
        ActionChains(driver).send_keys(key).perform()
        until(lambda: css(driver, "#record")[0].text not in judged)
    until(lambda: "admin10" in driver.execute_script("return document.getElementById('reviewers').textContent"))
    assert driver.execute_script("return window.stayed")
    assert css(driver, "[data-measure=precision] .range")[0].text.endswith("%")
    with open_store(f"sqlite:///{airflow.state}/store.db").engine.connect() as connection:
        rows = [
            row for row in connection.execute(REVIEWS.select().order_by(REVIEWS.c.created)) if row.reviewer == "admin"
        ]
    assert [row.record for row in rows] == judged
    assert [row.verdict for row in rows] == ["flagged", "passed"] * 5
    driver.get(f"{airflow.url}/chimed/review")  # what was judged is not asked again
    assert until(lambda: css(driver, "#record")[0].text) not in judged


def test_a_viewer_has_no_keys(airflow, signed_in) -> None:
    driver = signed_in(user="viewer")
    driver.get(f"{airflow.url}/chimed/review")
    assert not css(driver, "#desk")
    assert css(driver, ".note")
