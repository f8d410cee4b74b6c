"""A front end on another port, in Chromium."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import Browser
from serving import serving
from test_docs import browser  # noqa: F401 (a fixture)

import demo

READ = """async ([url, headers]) => {
    const answer = await fetch(url, {headers, cache: "no-store"});
    const names = ["ETag", "Retry-After", "X-Request-Id", "WWW-Authenticate"];
    const body = await answer.text();
    return [answer.status, names.map(name => answer.headers.get(name)), body && JSON.parse(body)];
}"""


def test_a_page_of_another_port_polls_a_job_and_reads_a_problem(
    browser: Browser,  # noqa: F811 (the fixture)
    tmp_path: Path,
    copy: Path,
) -> None:
    (tmp_path / "index.html").touch()
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as front_end:
        Thread(target=front_end.serve_forever).start()
        home = f"http://127.0.0.1:{front_end.server_port}"
        with (
            serving(cwd=copy, FLASK_CORS_ORIGINS=home) as server,
            browser.new_context() as context,
        ):
            page = context.new_page()
            page.goto(home)
            job = f"http://127.0.0.1:{server.port}/api/actions/bulk/jobs/{demo.job_id(2)}"
            bearer = {"Authorization": f"Bearer {demo.TOKEN}", "X-Request-Id": "front-end-1"}
            status, (etag, retry, request_id, _), body = page.evaluate(READ, [job, bearer])
            assert (status, retry, request_id) == (200, "2", "front-end-1")
            assert body["status"] == "running"
            again = page.evaluate(READ, [job, bearer | {"If-None-Match": etag}])
            assert again == [304, [etag, "2", "front-end-1", None], ""]
            status, (_, _, request_id, challenge), problem = page.evaluate(READ, [job, {}])
            assert (status, problem["requestId"]) == (401, request_id)
            assert challenge == 'Bearer realm="bulk-action-jobs"'
        front_end.shutdown()
