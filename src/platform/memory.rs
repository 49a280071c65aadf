//! How much memory the process uses now.

/// Resident anonymous memory of this process, in bytes, from `/proc/self/statm` (proc(5)). 0 if the
/// file cannot be read.
pub fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = statm.split_whitespace().skip(1).map_while(|number| number.parse::<u64>().ok());
    // The fields are size, resident and shared. Shared pages are file-backed, such as the program's
    // own code; they are not memory that the program allocated.
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    (resident - shared) * page.map_or(4096, i64::cast_unsigned)
}
