//! `stint init`: a function one can deploy at once, per runtime.

use std::path::Path;

use crate::failure::Failure;

/// A file of a template: where, what, whether it is a program.
struct File {
    path: &'static str,
    text: &'static [u8],
    program: bool,
}

const fn plain(path: &'static str, text: &'static str) -> File {
    File { path, text: text.as_bytes(), program: false }
}

const PYTHON: &[File] = &[plain(
    "code/index.py",
    r#"import json
import logging

logger = logging.getLogger()


def handler(event, context):
    """Gets the payload as bytes; what it returns is the result."""
    task = json.loads(event or b"{}")
    logger.info("working on %s", task)
    return {"hello": task.get("name", "world"), "requestId": context.request_id}
"#,
)];

const NODE: &[File] = &[plain(
    "code/index.js",
    r"'use strict';

// Gets the payload as a Buffer; what it returns (or resolves to) is the result.
exports.handler = async (event, context) => {
  const task = JSON.parse(event.toString() || '{}');
  console.log('working on', task);
  return { hello: task.name || 'world', requestId: context.requestId };
};
",
)];

const CUSTOM: &[File] = &[File {
    path: "code/bootstrap",
    text: br#"#!/usr/bin/env python3
"""Any HTTP server will do: it answers POST /invoke on the port."""
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        print("working on", body.decode("utf-8", "replace"), flush=True)
        answer = json.dumps({"hello": "world", "bytes": len(body)}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


port = int(os.environ.get("FC_SERVER_PORT", "9000"))
ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
"#,
    program: true,
}];

const CONTAINER: &[File] = &[
    plain(
        "image/Containerfile",
        r#"# podman build -t 127.0.0.1:5000/hello:v1 image && podman push 127.0.0.1:5000/hello:v1
# Any image will do whose program answers POST /invoke on the port.
FROM docker.io/library/python:3.12-slim
COPY server.py /srv/server.py
WORKDIR /srv
ENTRYPOINT ["python3", "server.py"]
"#,
    ),
    plain(
        "image/server.py",
        r#"import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        print("working on", body.decode("utf-8", "replace"), flush=True)
        answer = json.dumps({"hello": "world", "bytes": len(body)}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


port = int(os.environ.get("FC_CUSTOM_LISTEN_PORT", "9000"))
ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
"#,
    ),
];

const BASH: &[File] = &[File {
    path: "code/main.sh",
    text: br#"#!/usr/bin/env bash
# The payload is the standard input, the standard output the result, the standard error the log. An exit
# status other than 0 is a failure; its message is the end of the log.
set -euo pipefail

bytes=$(wc -c)
echo "working on $bytes bytes" >&2
printf '{"hello":"world","bytes":%d,"requestId":"%s"}' "$bytes" "$FC_REQUEST_ID"
"#,
    program: true,
}];

const GO: &[File] = &[
    plain("go.mod", "module hello\n\ngo 1.19\n"),
    plain("main.go", include_str!("../../../../examples/poll/go/main.go")),
    File {
        path: "build.sh",
        text: b"#!/bin/sh\n# Any program will do that polls FC_RUNTIME_API; this one needs the standard \
               library only.\nmkdir -p code\nCGO_ENABLED=0 exec go build -o code/main .\n",
        program: true,
    },
];

const JAVA: &[File] = &[
    plain(
        "src/example/App.java",
        r#"package example;

import java.util.LinkedHashMap;
import java.util.Map;

/** JSON in, JSON out; com.aliyun.fc.runtime's handlers (streams, beans) work as well. */
public class App {
    /** What a handler may ask about its call; any getter of upstream's Context. */
    public interface Context {
        String getRequestId();
    }

    public Map<String, Object> handleRequest(Map<String, Object> task, Context context) {
        System.out.println("working on " + task);
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("hello", task == null ? "world" : task.getOrDefault("name", "world"));
        answer.put("requestId", context.getRequestId());
        return answer;
    }
}
"#,
    ),
    File {
        path: "build.sh",
        text:
            b"#!/bin/sh\n# Classes and jars of the code directory are found, those of its lib \
               directory, too.\nexec javac --release 8 -Xlint:-options -d code src/example/*.java\n",
        program: true,
    },
];

/// The program is there ready to run; its text says how to make others.
const WASM: &[File] = &[
    File { path: "code/main.wasm", text: include_bytes!("template/main.wasm"), program: false },
    plain("main.wat", include_str!("template/main.wat")),
];

/// Writes a project into `directory`; refuses to overwrite anything.
pub(crate) fn write(directory: &Path, name: &str, runtime: &str) -> Result<Vec<String>, Failure> {
    let files = match runtime {
        r if r.starts_with("python") => PYTHON,
        r if r.starts_with("nodejs") => NODE,
        "custom-container" => CONTAINER,
        r if r.starts_with("java") => JAVA,
        "custom" | "custom.debian10" | "custom.debian11" | "custom.debian12" => CUSTOM,
        "go1" => GO,
        "bash" => BASH,
        "wasm" => WASM,
        _ => {
            return Err(Failure::usage(format!("there is no template for runtime `{runtime}`"))
                .next(
                    "python3.10, python3.12, nodejs18, nodejs20, java8, java11, go1, bash, custom, \
                     custom-container and wasm have one",
                ));
        }
    };
    let project = project_file(name, runtime);
    let all = std::iter::once(("stint.yaml", project.as_bytes(), false))
        .chain(files.iter().map(|file| (file.path, file.text, file.program)));
    let all: Vec<_> = all.collect();
    for (path, _, _) in &all {
        let path = directory.join(path);
        if path.exists() {
            return Err(Failure::usage(format!("{} exists; nothing was written", path.display()))
                .next("choose another directory"));
        }
    }
    for (path, text, program) in &all {
        put(&directory.join(path), text, *program)
            .map_err(|error| Failure::cannot(format_args!("write {path}"), &error))?;
    }
    Ok(all.into_iter().map(|(path, _, _)| path.to_owned()).collect())
}

fn put(path: &Path, text: &[u8], program: bool) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, text)?;
    if program {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn project_file(name: &str, runtime: &str) -> String {
    let extra = if runtime.starts_with("custom") { "    port: 9000\n" } else { "" };
    let what = match runtime {
        "custom-container" => "image: 127.0.0.1:5000/hello:v1",
        r if r.starts_with("java") => "handler: example.App::handleRequest\n    code: code",
        "go1" => "handler: main\n    code: code",
        "bash" => "handler: main.sh\n    code: code",
        "wasm" => "handler: main.wasm\n    code: code",
        _ => "handler: index.handler\n    code: code",
    };
    format!(
        "# `stint deploy` makes it so; docs/cli.md lists every key.\nfunctions:\n  {name}:\n    \
         runtime: {runtime}\n    {what}\n    cpu: 0.5\n    memory: 512MiB\n    timeout: \
         60s\n{extra}    async:\n      retries: 3\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{self, Code};

    #[test]
    fn every_template_is_a_project_that_reads_and_packs() {
        for (runtime, files) in [
            ("python3.10", 2),
            ("nodejs20", 2),
            ("custom", 2),
            ("bash", 2),
            ("java11", 3),
            ("go1", 4),
            ("wasm", 3),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let written = write(dir.path(), "hello", runtime).unwrap();
            assert_eq!(written.len(), files);
            // What is built goes here.
            std::fs::create_dir_all(dir.path().join("code")).unwrap();
            std::fs::write(dir.path().join("code/built"), "").unwrap();
            let project = project::read(&dir.path().join("stint.yaml"), &|_| None).unwrap();
            let function = &project.functions[0];
            assert_eq!(function.config["runtime"], runtime);
            let Code::Path(code) = &function.code else { panic!("a path") };
            assert!(!project::pack::pack(code).unwrap().is_empty());
            let again = write(dir.path(), "hello", runtime).unwrap_err();
            assert!(again.message.contains("exists"), "{again}");
        }
    }

    #[test]
    fn the_program_is_what_its_text_says() {
        let text = include_str!("template/main.wat");
        let made = wat::parse_str(text).unwrap();
        assert_eq!(made, include_bytes!("template/main.wasm"), "make it again from its text");
    }

    #[test]
    fn a_container_has_an_image_to_build_and_no_code() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(write(dir.path(), "hello", "custom-container").unwrap().len(), 3);
        let project = project::read(&dir.path().join("stint.yaml"), &|_| None).unwrap();
        let function = &project.functions[0];
        assert_eq!(function.code, Code::None);
        let image = &function.config["customContainerConfig"]["image"];
        assert_eq!(image, "127.0.0.1:5000/hello:v1");
    }

    #[test]
    fn other_runtimes_have_no_template() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write(dir.path(), "f", "php7.2").unwrap_err().message.contains("php7.2"));
    }
}
