//! Compresses the files of `src/web`, which `src/control/page/assets.rs` includes, once for each
//! build instead of at each start of the server. The modules become one file, so that a browser needs
//! one request for all of them. Comments of scripts and styles, and indentation, stay behind: they are half of the
//! text. The same files make the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flate2::Crc;
use zopfli::{Format, Options};

const FOLDER: &str = "src/web";
/// What the modules become: the name of each file, and the module that runs and gets the others that it
/// needs.
const BUNDLES: [(&str, &str); 2] = [("scripts.js", "main.js"), ("operator.js", "operator/main.js")];
/// Scripts of their own: one runs before the modules, one in pages of other sites, and one without a page.
const SCRIPTS: [&str; 3] = ["start.js", "player.js", "service-worker.js"];
/// Makes each module when it is needed for the first time.
const NEED: &str = "\
const made = new Map();
export function need(name) {
  let exported = made.get(name);
  if (!exported) made.set(name, (exported = modules[name]()));
  return exported;
}
";

fn main() -> io::Result<()> {
    // Cargo looks into the folder and all below it.
    println!("cargo::rerun-if-changed={FOLDER}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut files = files_in(Path::new(FOLDER))?;
    files.sort();
    let (mut modules, mut contents) = (Vec::new(), Vec::new());
    for file in files {
        let name = file.strip_prefix(FOLDER).ok().and_then(Path::to_str);
        let name =
            name.ok_or_else(|| io::Error::other("a file name that is not UTF-8"))?.to_owned();
        if file.extension() == Some("png".as_ref()) {
            contents.push((name, fs::read(&file)?));
            continue;
        }
        let text = fs::read_to_string(&file)?;
        match Path::new(&name).extension().and_then(|extension| extension.to_str()) {
            Some("js") if !SCRIPTS.contains(&name.as_str()) => modules.push((name, text)),
            Some("js" | "css") => contents.push((name, without_comments(&text).into_bytes())),
            _ => {
                let lines = text.lines().flat_map(|line| [line.trim(), "\n"]);
                contents.push((name, lines.collect::<String>().into_bytes()));
            }
        }
    }
    let modules: BTreeMap<_, _> = modules
        .into_iter()
        .map(|(name, text)| Ok((name.clone(), module(&name, &text)?)))
        .collect::<io::Result<_>>()?;
    for (name, main) in BUNDLES {
        contents.push((name.to_owned(), bundle(&modules, main).into_bytes()));
    }
    contents.sort();
    let mut all = Crc::new();
    let mut list = String::new();
    for (number, (name, content)) in contents.iter().enumerate() {
        all.update(content);
        let compressed = format!("{number}.gz");
        fs::write(out.join(&compressed), gzip(content)?)?;
        _ = writeln!(list, "Asset {{ name: {name:?}, gzip: include_bytes!({compressed:?}) }},");
    }
    let version = all.sum();
    fs::write(
        out.join("assets.rs"),
        format!("Assets {{ all: &[\n{list}], version: \"{version:08x}\" }}\n"),
    )
}

/// The module `main` and all that it needs, as one file. Each is a function, by its name, that returns what
/// it exports.
fn bundle(modules: &BTreeMap<String, String>, main: &str) -> String {
    let (mut needed, mut pending) = (BTreeSet::new(), vec![main]);
    while let Some(name) = pending.pop() {
        if let Some((name, text)) = modules.get_key_value(name)
            && needed.insert(name)
        {
            let others = text.split("need(\"").skip(1);
            pending.extend(others.filter_map(|rest| rest.split('"').next()));
        }
    }
    let mut bundle = String::from("const modules = {\n");
    for name in needed {
        _ = writeln!(bundle, "{name:?}() {{\n{}}},", modules[name]);
    }
    _ = writeln!(bundle, "}};\n{NEED}need({main:?});");
    bundle
}

/// A module as the content of a function that returns what it exports.
fn module(name: &str, text: &str) -> io::Result<String> {
    let (mut exported, mut statement, mut content) = (Vec::new(), String::new(), String::new());
    for line in without_comments(text).lines().filter(|line| !line.trim().is_empty()) {
        // A statement may extend over lines.
        statement.push_str(line);
        let is_import = statement.starts_with("import ");
        if is_import && !statement.ends_with(';') {
            continue;
        }
        let unknown = || io::Error::other(format!("{name}: not understood: {statement}"));
        let line = if is_import {
            required(&statement, name).ok_or_else(unknown)?
        } else if let Some(declaration) = statement.strip_prefix("export ") {
            exported.extend(names_of(declaration).ok_or_else(unknown)?);
            declaration.to_owned()
        } else {
            statement.replace("import(\"./", "need(\"")
        };
        _ = writeln!(content, "{line}");
        statement.clear();
    }
    _ = writeln!(content, "return {{ {} }};", exported.join(", "));
    Ok(content)
}

/// A declaration in place of an import of a module.
fn required(statement: &str, module: &str) -> Option<String> {
    let (what, from) = statement.strip_prefix("import ")?.split_once(" from ")?;
    let path = from.strip_prefix('"')?.strip_suffix("\";")?;
    let folder = module.rsplit_once('/').map_or("", |(folder, _)| folder);
    let other = if let Some(below) = path.strip_prefix("../") {
        below.to_owned()
    } else {
        format!("{folder}/{}", path.strip_prefix("./")?).trim_start_matches('/').to_owned()
    };
    let what = match what.strip_prefix("* as ") {
        Some(name) => name.to_owned(),
        None => what.replace(" as ", ": "),
    };
    Some(format!("const {what} = need({other:?});"))
}

/// The names that a declaration after `export` makes.
fn names_of(declaration: &str) -> Option<Vec<String>> {
    let rest = ["const ", "class ", "function ", "async function "]
        .into_iter()
        .find_map(|kind| declaration.strip_prefix(kind))?;
    if let Some(pattern) = rest.strip_prefix('{') {
        let (pattern, _) = pattern.split_once('}')?;
        let name = |part: &str| part.rsplit(':').next().map(|name| name.trim().to_owned());
        return pattern.split(',').map(name).collect();
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')?;
    Some(vec![rest[..end].to_owned()])
}

fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_in(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// Leaves out the lines that are comments and nothing else, types in comments, and indentation.
fn without_comments(text: &str) -> String {
    let mut is_inside = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let line = without_types(line.trim());
        let bare = line.trim();
        let is_comment = is_inside || bare.starts_with("//") || bare.starts_with("/*");
        if is_comment {
            is_inside = (is_inside || bare.starts_with("/*")) && !bare.ends_with("*/");
        } else if !bare.is_empty() {
            kept.push_str(bare);
            kept.push('\n');
        }
    }
    kept
}

/// A line without the types of its expressions and parameters, which are comments.
fn without_types(line: &str) -> String {
    let mut bare = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, comment)) = rest.split_once("/** @") {
        let Some((_, after)) = comment.split_once("*/") else { break };
        bare.push_str(before);
        rest = after.trim_start();
    }
    bare + rest
}

/// As small as it can be; that takes a second. The header of the result has neither a time nor a name.
fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressed = Vec::new();
    zopfli::compress(Options::default(), Format::Gzip, plain, &mut compressed)?;
    Ok(compressed)
}
