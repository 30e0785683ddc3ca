"""Takes README's screenshots from a finished demo, light and dark: `make pictures` runs it after `make demo`.

Airflow's API server is started on the demo's state, a headless Chromium opens ChiMed's pages, and each picture is
written beside this file as WebP. The browser is driven as the tests of the pages drive it (`tests/support/browser.py`).
"""

import base64
import tempfile
from pathlib import Path

import httpx

from chimed.release import releases
from chimed_airflow.local import home
from support import browser

HERE = Path(__file__).parent
WIDTH, SHARP, QUALITY = 1280, 1.5, 70  # pixels of the page, of the picture for each of them, of WebP's scale
# a picture, the page, its language, how high
PAGES = (
    ("overview", "", "en", 760),
    ("overview", "", "zh", 760),
    ("release", "releases/{release}", "en", 760),
    ("release", "releases/{release}", "zh", 760),
    ("record", "releases/{release}/records/{record}", "en", 980),
    ("review", "review", "zh", 700),
    ("scores", "scores", "en", 760),
)


def take(driver, address: str, path: Path, height: int, scheme: str) -> None:
    """One picture of the top of a page."""
    browser.screen(driver, WIDTH, scheme)
    browser.open_page(driver, address)
    status = driver.execute_script("return performance.getEntriesByType('navigation')[0].responseStatus")
    if status != 200:
        raise SystemExit(f"{address} answers {status}: {browser.css(driver, 'main')[0].text}")
    for figure in browser.css(driver, "main img"):
        driver.execute_script("arguments[0].loading = 'eager'", figure)
        browser.until(lambda figure=figure: driver.execute_script("return arguments[0].complete", figure))
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": SHARP}
    wanted = {"format": "webp", "quality": QUALITY, "clip": clip, "captureBeyondViewport": True}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", wanted)
    path.write_bytes(base64.b64decode(taken["data"]))
    print(f"{path.name:30} {path.stat().st_size / 1000:.0f} KB")


def main() -> None:
    """Take all pictures. Raises SystemExit where no demo was run."""
    from chimed.storage.lake import open_lake

    lake = home.STATE / "lake"
    known = releases(open_lake(str(lake))) if lake.exists() else []
    if not known:
        raise SystemExit(f"no finished demo in {home.STATE}; run: make demo")
    environment = home.environment(home.free_ports())
    with (
        tempfile.TemporaryDirectory() as folder,
        browser.api_server(environment, Path(folder, "server.log")) as url,
        browser.chromiums(Path(folder)) as opened,
    ):
        driver = opened(url, httpx.get(f"{url}/auth/token", timeout=60).json()["access_token"], WIDTH)
        browser.open_page(driver, f"{url}/chimed/releases/{known[-1]}/examples?table=preference/train")
        record = browser.css(driver, ".rows a.mono")[0].text
        for name, place, language, height in PAGES:
            driver.get(f"{url}/chimed/language/{language}?to=/")
            for scheme in ("light", "dark"):
                address = f"{url}/chimed/{place.format(release=known[-1], record=record)}"
                take(driver, address, HERE / f"{name}.{language}.{scheme}.webp", height, scheme)


if __name__ == "__main__":
    main()
