"""Build a release from a site's pages in a WARC file, without models, Airflow or a network.

python docs/examples/build_release.py zydcd pages.warc.gz my-lake
"""

import sys
from pathlib import Path
from urllib.parse import urlsplit

from warcio.archiveiterator import ArchiveIterator

from chimed.build.builds import new_build
from chimed.build.context import StageContext
from chimed.build.options import Options, without_models
from chimed.build.order import NAMES
from chimed.crawl.finished import write_report
from chimed.pipeline.runner import run_stage
from chimed.release.verify import verify
from chimed.settings import Settings
from chimed.storage import warc
from chimed.storage.lake import Lake, open_lake
from chimed.storage.store import open_store


def keep_pages(lake: Lake, source: str, file: Path) -> None:
    """Keep the responses of a WARC file as the finished crawl `imported` of a source."""
    folder = f"raw/{source}/imported"
    archive = warc.open_archive(lake, folder)
    with file.open("rb") as opened:
        for record in ArchiveIterator(opened):
            if record.rec_type == "response":
                url, http = record.rec_headers.get_header("WARC-Target-URI"), record.http_headers
                request, status = f"GET {urlsplit(url).path} HTTP/1.1", int(http.get_statuscode())
                headers = [("Content-Type", http.get_header("Content-Type", "text/html"))]
                body = record.content_stream().read()
                warc.write_exchange(archive, warc.Exchange(url, request, [], status, "", headers, body), "detail")
    warc.close_archive(archive)
    write_report(lake, folder, {"source": source, "crawl": "imported", "pages": warc.write_index(lake, folder)})


def build_release(source: str, file: Path, folder: Path) -> Path:
    """Run every stage that needs no model over the pages; return the release's folder, its files verified."""
    lake, store = open_lake(str(folder)), open_store(f"sqlite:///{folder}/store.db")
    keep_pages(lake, source, file)
    options = without_models({}, exams=None)
    version = new_build(lake, options)
    work = StageContext(version, Options(**options), lake, store, Settings(data=str(folder)), print)
    for stage in NAMES:
        run_stage(work, stage)
    assert not verify(lake, version)
    return folder / "releases" / version


if __name__ == "__main__":
    print(build_release(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
