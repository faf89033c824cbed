//! The programs that are edited: each answers with a word of its own source.

use std::path::Path;

use super::write;
use crate::bench::tools::FLASK;
use crate::shell::Failure;

/// A program in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Sample {
    Node,
    Flask,
}

impl Sample {
    pub(super) const ALL: [Self; 2] = [Self::Node, Self::Flask];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Flask => "flask",
        }
    }

    /// The file that is edited.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Node => "server.js",
            Self::Flask => "app.py",
        }
    }

    /// What an extension filter of a watching tool is told.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Node => "js",
            Self::Flask => "py",
        }
    }

    /// How a person starts it.
    pub(super) fn run(self) -> &'static str {
        match self {
            Self::Node => "node server.js",
            Self::Flask => "python app.py",
        }
    }

    /// How a person starts it with what its own framework has for watching.
    pub(super) fn reloader(self) -> &'static str {
        match self {
            Self::Node => "node --watch server.js",
            Self::Flask => "python -m flask --app app run --debug --port $PORT",
        }
    }

    /// The name of that.
    pub(super) fn reloader_name(self) -> &'static str {
        match self {
            Self::Node => "node --watch",
            Self::Flask => "Flask's reloader",
        }
    }

    /// The image that has its language, in the registry of `cargo xtask images`.
    pub(in crate::bench) fn image(self) -> &'static str {
        match self {
            Self::Node => "127.0.0.1:5055/node:20-slim",
            Self::Flask => "127.0.0.1:5055/python:3.11-slim",
        }
    }

    /// The source that answers with a word, and writes down when it is told to stop.
    pub(super) fn source(self, word: &str) -> String {
        match self {
            Self::Node => format!(
                "const http = require('http'), fs = require('fs');\n\
                 const word = '{word}';\n\
                 process.on('SIGTERM', () => {{ fs.writeFileSync('signalled', String(Date.now())); process.exit(0); }});\n\
                 http.createServer((request, response) => response.end(word)).listen(Number(process.env.PORT), '127.0.0.1');\n"
            ),
            Self::Flask => format!(
                "import os, signal, time\n\
                 from flask import Flask\n\
                 \n\
                 def stop(*_):\n\
                 \x20   with open('signalled', 'w') as out:\n\
                 \x20       out.write(str(time.time() * 1000))\n\
                 \x20   os._exit(0)\n\
                 \n\
                 app = Flask(__name__)\n\
                 \n\
                 @app.get('/')\n\
                 def index():\n\
                 \x20   return '{word}'\n\
                 \n\
                 if __name__ == '__main__':\n\
                 \x20   signal.signal(signal.SIGTERM, stop)\n\
                 \x20   app.run(port=int(os.environ['PORT']))\n"
            ),
        }
    }

    /// Writes the program and what hd needs to know of it; `image` is its base, else this machine.
    pub(in crate::bench) fn make(
        self,
        directory: &Path,
        port: u16,
        image: Option<&str>,
    ) -> Result<(), Failure> {
        write(&directory.join(self.file()), &self.source("first"))?;
        write(&directory.join(".gitignore"), "signalled\n__pycache__\n")?;
        let (steps, command) = match self {
            Self::Node => ("", "[\"node\", \"server.js\"]"),
            Self::Flask => {
                write(&directory.join("requirements.txt"), FLASK)?;
                let steps = "steps = [\"python3 -I -m venv .venv\", \".venv/bin/pip install -r requirements.txt\"]\n";
                (steps, "[\".venv/bin/python\", \"app.py\"]")
            }
        };
        let base = image.map_or(String::new(), |image| format!("base = \"{image}\"\n"));
        let toml = format!(
            "[environment]\nname = \"bench\"\n{base}[build]\n{steps}[services.web]\ncommand = {command}\n\
             port = {port}\nenv = {{ PORT = \"{port}\" }}\nwatch = [\"*.{}\"]\n",
            self.extension()
        );
        write(&directory.join("hd.toml"), &toml)
    }
}
