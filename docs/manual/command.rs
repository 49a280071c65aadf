//! silvacast(8): the commands with their options, and all that the program and the system say to each other.

use clap::builder::StyledStr;
use clap::{Arg, Command};

use super::page::Page;

pub(crate) fn page(cli: &Command) -> String {
    let mut page = Page::new("silvacast", "8", &text(cli.get_about()));
    page.heading("SYNOPSIS");
    page.paragraph(&synopsis(cli));
    let commands: Vec<&Command> =
        cli.get_subcommands().filter(|command| command.get_name() != "help").collect();
    for command in &commands {
        page.paragraph(&synopsis(command));
    }
    page.heading("DESCRIPTION")
        .paragraph(
            "It is a small server between field recorders and those who listen: a recorder pushes Ogg/Opus to a mount as to \
             Icecast, and browsers and players hear it a moment later. What listeners do never holds up a source. A mount is \
             one stream, whoever sends it; while nobody does, silence is heard, and then the stream ends.",
        )
        .paragraph(
            "Without a configuration it serves on loopback only, with passwords made for that run, and prints an FFmpeg line to \
             paste.",
        );
    page.heading("COMMANDS")
        .paragraph("Each takes `--help`; `silvacast --version` says which version this is.");
    for command in &commands {
        page.subheading(command.get_name());
        page.paragraph(&format!("{}.", text(command.get_about())));
        for argument in arguments(command) {
            page.item(&name(argument), &format!("{}.", text(argument.get_help())));
        }
    }
    page.heading("SIGNALS")
        .item(
            "`SIGHUP`",
            "The configuration is read again. One with errors changes nothing; they are logged.",
        )
        .item(
            "`SIGTERM`, `SIGINT`",
            "The server stops: nobody new is let in, every stream is ended properly, and listeners get what is left of it.",
        );
    page.heading("ENVIRONMENT")
        .item(
            "`SILVASONIC_ICECAST_PORT`",
            "Takes the place of the port in the configuration's `listen`, and is where `silvacast health` asks.",
        )
        .item(
            "`CREDENTIALS_DIRECTORY`",
            "Where the passwords are, as `source-password` and `admin-password`, if the configuration names none. Set by systemd.",
        )
        .item(
            "`LISTEN_FDS`, `LISTEN_FDNAMES`",
            "Sockets that the service manager opened, and their names. They take the place of `listen`.",
        )
        .item("`NOTIFY_SOCKET`", "Where the service manager wants to hear that the server is ready, reloads or stops.")
        .item("`WATCHDOG_USEC`", "How often the service manager wants a sign of life.")
        .item("`JOURNAL_STREAM`", "Says that standard error is the journal, which has times of its own.");
    page.heading("FILES")
        .item("`/etc/silvacast/silvacast.toml`", "The service's configuration, see `silvacast.toml`(5).")
        .item(
            "`/etc/silvacast/source-password`, `/etc/silvacast/admin-password`",
            "The service's passwords, for root only: systemd hands them to the service as credentials.",
        );
    page.heading("EXIT STATUS")
        .item("`0`", "All is well.")
        .item("`1`", "Something failed.")
        .item("`2`", "The arguments or the configuration are wrong.");
    page.heading("EXAMPLES").verbatim(&examples(cli));
    page.heading("SEE ALSO")
        .paragraph("`silvacast.toml`(5), `ffmpeg`(1), `systemd.exec`(5), `systemd.socket`(5)");
    page.finish()
}

/// A text of the command line's definition; clap takes its full stop away.
fn text(styled: Option<&StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| argument.get_id() != "help")
}

/// A command with all that it takes, in one line.
fn synopsis(command: &Command) -> String {
    let mut line = format!("`{}`", command.get_bin_name().unwrap_or_else(|| command.get_name()));
    for argument in arguments(command) {
        let name = name(argument);
        let name = if argument.is_required_set() { name } else { format!("[{name}]") };
        line.extend([" ", &name]);
    }
    line
}

/// An argument as it is written: `--config FILE`, `FILE`, `--loop`.
fn name(argument: &Arg) -> String {
    let values = argument.get_value_names().filter(|_| argument.get_action().takes_values());
    let value = values.unwrap_or_default().join(" ");
    match argument.get_long() {
        Some(long) => format!("`--{long}` {value}").trim_end().to_owned(),
        None => value,
    }
}

/// The examples that `--help` ends with.
fn examples(cli: &Command) -> String {
    let help = text(cli.get_after_help());
    help.lines().filter_map(|line| line.strip_prefix("  ")).collect::<Vec<_>>().join("\n")
}
