"""Airflow's API server with the pages, and headless Chromiums that look at them: of a small state, of a demo's."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 150  # seconds for the server to come up on a busy machine
NARROW = 500  # pixels below which a screen is a phone's
FLAGS = (
    "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync",
)  # fmt: skip
DARK = "rgb(21, 24, 22)"


@contextmanager
def api_server(environment: dict[str, str], log: Path) -> Iterator[str]:
    """The address of an API server of this environment, at the base URL that it names; it answers already."""
    url = environment["AIRFLOW__API__BASE_URL"]
    at = urlsplit(url)
    argv = [sys.executable, "-m", "airflow", "api-server", "--apps", "core"]
    argv += ["--host", str(at.hostname), "--port", str(at.port)]
    with log.open("wb") as said, subprocess.Popen(argv, env=environment, stdout=said, stderr=said) as run:
        try:
            _wait_for(f"{url}/api/v2/version", run, log)
            yield url
        finally:
            run.terminate()


def _wait_for(url: str, run: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while run.poll() is None and time.monotonic() < end:
        try:
            if httpx.get(url, timeout=10).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"Airflow's API server did not come up: {log.read_text()[-2000:]}")


@contextmanager
def chromiums(folder: Path) -> Iterator[Callable]:
    """A function that opens a browser of some width and colours with a session of Airflow's at `url`.

    All are closed at the end. Profiles lie below the folder.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    install = subprocess.run([PROJECT / "tests" / "install_chromium.sh"], capture_output=True, text=True)
    if install.returncode:
        pytest.fail(
            "the pages' tests need Chromium and its driver: run tests/install_chromium.sh as root, "
            f"with Debian's packages in reach ({install.stderr.strip().splitlines()[-1:]})"
        )
    opened: list[webdriver.Chrome] = []

    def browser(url: str, token: str, width: int = 1440, scheme: str = "light") -> webdriver.Chrome:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (*FLAGS, f"user-data-dir={folder / str(len(opened))}"):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        opened.append(driver)
        driver.set_page_load_timeout(60)
        screen(driver, width, scheme)
        driver.get(f"{url}/chimed/static/style.css")
        driver.add_cookie({"name": "_token", "value": token, "path": "/"})
        driver.get_log("browser"), driver.get_log("performance")  # what the sign-in itself said
        return driver

    try:
        yield browser
    finally:
        for driver in opened:
            driver.quit()


def screen(driver, width: int, scheme: str) -> None:
    """Gives a browser's window another width and other colours."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < NARROW}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    colours = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", colours)


def css(driver, selector: str) -> list:
    """The elements that a selector finds."""
    return driver.find_elements("css selector", selector)


def until(what: Callable[[], object], seconds: float = 30) -> object:
    """What it gives once that is something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found


def open_page(driver, address: str) -> None:
    """Opens a page, and waits until what it counts beside the request is there."""
    driver.get(address)
    until(lambda: not css(driver, "meta[http-equiv=refresh]"))


def assert_whole(driver, scheme: str) -> None:
    """The page has its heading and figures, fits the screen, wears these colours, asked nobody but its own server."""
    place = driver.current_url
    assert css(driver, "main h1")[0].text, place
    for figure in css(driver, "main img"):  # loaded once they come into view
        driver.execute_script("arguments[0].scrollIntoView()", figure)
        until(lambda figure=figure: driver.execute_script("return arguments[0].naturalWidth", figure))
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), place
    colour = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (colour == DARK) == (scheme == "dark"), place
    assert [entry for entry in driver.get_log("browser") if "favicon" not in entry["message"]] == [], place
    assert asked_hosts(driver) <= {urlsplit(place).netloc}, place


def asked_hosts(driver) -> set[str]:
    """Hosts of everything the browser asked for since it was asked last."""
    entries = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in entries if one["method"] == "Network.requestWillBeSent"]
    return {url.split("/")[2] for url in urls if url.startswith("http")}
