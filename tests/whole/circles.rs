//! No source files of the crate use each other in a circle.
//!
//! A file uses another one if a path in it leads there: in a `use`, an expression, a type or the arguments of
//! a macro, by `crate::`, `self::`, `super::`, the name of a child module or an imported name. The path leads to the file
//! that defines the item, not to the one that re-exports it: re-exports are transparent. Hence a `mod.rs` that consists of
//! `mod` and `pub use` uses nothing. If a parent defines something, a child uses it and the parent uses the child, that is a
//! circle too; [`PARENTS`] are exempt from this last rule only.
//!
//! Unit tests are ignored, because they may use any module. So are calls of methods, because they have no path.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree, Visibility};

/// Modules that use their children and define what the children share. A definition that moves to a file beside the
/// children makes its entry here unnecessary, and then the test asks for the entry to be removed.
const PARENTS: [&str; 6] = ["cli", "config", "config::icecast", "control::page", "log", "source"];

/// The names of modules from the root of the crate: `["mount", "ring"]` is `crate::mount::ring`.
type Module = Vec<String>;

/// A module that has a file of its own.
#[derive(Default)]
struct Source {
    file: PathBuf,
    /// Imported names, each with its path as it is written.
    imports: BTreeMap<String, Module>,
    /// The modules whose items are imported by `*`.
    globs: Vec<Module>,
    /// Names of the items that it defines.
    defines: BTreeSet<String>,
    /// Every path in it as written, except those of re-exports.
    paths: BTreeSet<Module>,
}

/// The modules of a crate.
struct Sources(BTreeMap<Module, Source>);

impl Sources {
    /// Reads the crate whose `lib.rs` is in this folder.
    fn read(folder: &Path) -> Self {
        let mut sources = Self(BTreeMap::new());
        sources.add(folder, &folder.join("lib.rs"), Vec::new());
        sources
    }

    fn add(&mut self, folder: &Path, file: &Path, module: Module) {
        let text = fs::read_to_string(file).unwrap();
        let syntax = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut source = Source { file: file.to_owned(), ..Source::default() };
        Reader { source: &mut source, inline: Vec::new() }.visit_file(&syntax);
        for item in &syntax.items {
            if let Item::Mod(child) = item
                && child.content.is_none()
                && !is_for_tests(&child.attrs)
            {
                let name = child.ident.to_string();
                let (flat, nested) = (folder.join(format!("{name}.rs")), folder.join(&name));
                let file = if flat.exists() { flat } else { nested.join("mod.rs") };
                self.add(&nested, &file, [&module[..], &[name]].concat());
            }
        }
        self.0.insert(module, source);
    }

    /// The module that defines what a path in `from` leads to; `None` if that is in another crate.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        let source = &self.0[from];
        let (first, rest) = path.split_first()?;
        let absolute = |module: &[String]| [module, rest].concat();
        match &**first {
            "crate" => self.find(&[], rest, depth),
            "self" => self.find(from, rest, depth),
            "super" => self.find(&from[..from.len() - 1], rest, depth),
            name if self.0.contains_key(&[&from[..], &[name.to_owned()]].concat()) => {
                self.find(from, path, depth)
            }
            name => {
                // An import of the name itself, such as `use ogg;` for another crate, leads out.
                let import = source.imports.get(name).filter(|import| import[0] != name)?;
                self.resolve(from, &absolute(import), depth.checked_sub(1)?)
            }
        }
    }

    /// Follows the names from a module to the module that defines the last one.
    fn find(&self, module: &[String], names: &[String], depth: usize) -> Option<Module> {
        let Some((name, rest)) = names.split_first() else { return Some(module.to_vec()) };
        if name == "super" {
            return self.find(&module[..module.len() - 1], rest, depth);
        }
        let child = [module, std::slice::from_ref(name)].concat();
        if self.0.contains_key(&child) {
            return self.find(&child, rest, depth);
        }
        let module = module.to_vec();
        let source = &self.0[&module];
        if source.defines.contains(name) {
            return Some(module);
        }
        let depth = depth.checked_sub(1)?;
        if source.imports.contains_key(name) {
            return self.resolve(&module, names, depth);
        }
        let globs = source.globs.iter();
        let mut by_glob =
            globs.filter_map(|glob| self.resolve(&module, &[&glob[..], names].concat(), depth));
        // A name that is not found, such as one that a macro defines, counts for the module that the path names.
        by_glob.next().or(Some(module.clone()))
    }

    /// The modules that each module uses, except for the parents among `shared`.
    fn uses(&self, shared: &[&str]) -> BTreeMap<&Module, BTreeSet<Module>> {
        let is_shared = |module: &Module, used: &Module| {
            module.starts_with(used) && shared.contains(&&*used.join("::"))
        };
        let uses = self.0.iter().map(|(module, source)| {
            let used = source.paths.iter().filter_map(|path| self.resolve(module, path, 8));
            (module, used.filter(|used| used != module && !is_shared(module, used)).collect())
        });
        uses.collect()
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let tokens = attribute.meta.require_list().map(|list| list.tokens.to_string());
        attribute.path().is_ident("cfg") && tokens.is_ok_and(|tokens| tokens == "test")
    })
}

/// Collects the names and paths of one file.
struct Reader<'a> {
    source: &'a mut Source,
    /// The inline modules around the present position.
    inline: Module,
}

impl Reader<'_> {
    /// Adds a path; within an inline module, `super` is the module of the file.
    fn path(&mut self, mut path: Module) {
        if !self.inline.is_empty() {
            let up = path.iter().take_while(|name| *name == "super").count();
            if up > 0 && up <= self.inline.len() {
                path.splice(..up, ["self".to_owned()]);
            } else {
                path.drain(..up.min(self.inline.len()));
            }
        }
        self.source.paths.insert(path);
    }

    fn import(&mut self, tree: &UseTree, before: &[String], reexport: bool) {
        let with = |name: &dyn ToString| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident), reexport),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, before, reexport));
            }
            UseTree::Glob(_) => {
                self.source.globs.push(before.to_vec());
                if !reexport {
                    self.path(before.to_vec());
                }
            }
            UseTree::Name(name) if name.ident == "self" => {
                self.name(&before.last().unwrap().clone(), before.to_vec(), reexport);
            }
            UseTree::Name(name) => self.name(&name.ident.to_string(), with(&name.ident), reexport),
            UseTree::Rename(name) => {
                self.name(&name.rename.to_string(), with(&name.ident), reexport);
            }
        }
    }

    fn name(&mut self, name: &str, path: Module, reexport: bool) {
        self.source.imports.insert(name.to_owned(), path.clone());
        if !reexport {
            self.path(path);
        }
    }

    /// Paths in the arguments of a macro, which are not parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Module::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 && !path.is_empty() {
                        self.path(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.tokens(group.stream());
                    colons = 0;
                }
                _ => colons = 0,
            }
        }
        if !path.is_empty() {
            self.path(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Mod(item) => (&item.attrs, item.content.as_ref().map(|_| &item.ident)),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Use(item) => (&item.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if is_for_tests(attributes) {
            return;
        }
        if self.inline.is_empty() {
            self.source.defines.extend(name.map(ToString::to_string));
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.inline.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.inline.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let reexport = !matches!(item.vis, Visibility::Inherited);
        self.import(&item.tree, &[], reexport);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

/// Groups of modules that reach each other, with the arrows within each group.
fn circles(sources: &Sources, shared: &[&str]) -> Vec<String> {
    let uses = sources.uses(shared);
    let reached = |from: &Module| {
        let (mut reached, mut left) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = left.pop() {
            for used in &uses[&module] {
                if reached.insert(used.clone()) {
                    left.push(used.clone());
                }
            }
        }
        reached
    };
    let reached: BTreeMap<_, _> = uses.keys().map(|module| (*module, reached(module))).collect();
    let mut groups = BTreeSet::new();
    for (module, others) in &reached {
        let group: BTreeSet<&Module> =
            others.iter().filter(|other| reached[other].contains(*module)).collect();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = |module: &Module| {
        let file = &sources.0[module].file;
        file.strip_prefix(root).unwrap_or(file).display().to_string()
    };
    let describe = |group: BTreeSet<&Module>| {
        let mut text = String::new();
        for from in &group {
            for to in uses[*from].iter().filter(|to| group.contains(to)) {
                let _ = writeln!(text, "  {} uses {}", name(from), name(to));
            }
        }
        text
    };
    groups.into_iter().map(describe).collect()
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let sources = Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let arrows: usize = sources.uses(&[]).values().map(BTreeSet::len).sum();
    assert!(arrows > 200, "only {arrows} arrows were found");
    let found = circles(&sources, &PARENTS);
    assert!(found.is_empty(), "files use each other in a circle:\n{}", found.join("\n"));
    for parent in PARENTS {
        let others: Vec<_> = PARENTS.into_iter().filter(|other| *other != parent).collect();
        assert!(!circles(&sources, &others).is_empty(), "{parent} needs no entry in PARENTS");
    }
}
