//! Containers, as their runtimes write them into cgroup paths.

/// Container id out of the text of `/proc/PID/cgroup`: 64 hexadecimal digits, the innermost ones.
pub(super) fn id(cgroups: &str) -> Option<String> {
    paths(cgroups).find_map(|path| path.rsplit('/').find_map(id_of_segment)).map(str::to_owned)
}

/// Path in the unified hierarchy (cgroup v2), cgroups(7): the line `0::PATH`.
pub(super) fn unified(cgroups: &str) -> Option<&str> {
    cgroups.lines().find_map(|line| line.strip_prefix("0::")).filter(|path| !path.is_empty())
}

/// The path of each line `HIERARCHY:CONTROLLERS:PATH`.
fn paths(cgroups: &str) -> impl Iterator<Item = &str> {
    cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2))
}

/// Docker, containerd, CRI-O and podman all end in the id, some behind a prefix, some before `.scope`.
fn id_of_segment(segment: &str) -> Option<&str> {
    let segment = segment.strip_suffix(".scope").unwrap_or(segment);
    let start = segment.rfind([':', '-']).map_or(0, |at| at + 1);
    let (prefix, id) = segment.split_at(start);
    let is_id = id.len() == 64 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    // The monitor of CRI-O's and podman's containers runs on the host, in a scope of its own.
    (is_id && !prefix.contains("conmon")).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15f1d2d2f924e986ac86fdf7b3";

    #[test]
    fn forms_of_runtimes() {
        let cases = [
            ("docker, systemd", "0::/system.slice/docker-ID.scope", true),
            ("docker, cgroupfs", "0::/docker/ID", true),
            ("docker, nested", "0::/docker/aaaa/docker/ID", true),
            ("docker, cgroup v1", "12:memory:/docker/ID\n1:name=systemd:/docker/ID", true),
            ("docker, hybrid", "12:memory:/docker/ID\n0::/", true),
            (
                "containerd, systemd",
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b.slice/cri-containerd-ID.scope",
                true,
            ),
            ("containerd, cgroupfs", "0::/kubepods/besteffort/pod1b0c-77/ID", true),
            (
                "containerd, colons",
                "0::/system.slice/containerd.service/kubepods-pod1b.slice:cri-containerd:ID",
                true,
            ),
            ("nerdctl", "0::/system.slice/nerdctl-ID.scope", true),
            ("cri-o", "0::/kubepods.slice/kubepods-pod1b.slice/crio-ID.scope", true),
            ("cri-o, inner cgroup", "0::/kubepods.slice/kubepods-pod1b.slice/crio-ID.scope/container", true),
            ("podman", "0::/machine.slice/libpod-ID.scope", true),
            (
                "podman, rootless",
                "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
                true,
            ),
            ("podman, cgroupfs", "0::/libpod_parent/libpod-ID", true),
            ("cri-o monitor", "0::/system.slice/crio-conmon-ID.scope", false),
            ("podman monitor", "0::/machine.slice/libpod-conmon-ID.scope", false),
            ("none", "0::/user.slice/user-1000.slice/session-2.scope", false),
            ("too long", "0::/docker/IDa", false),
            (
                "upper case",
                "0::/docker/F1D2D2F924E986AC86FDF7B36C94BCDF32BEEC15F1D2D2F924E986AC86FDF7B3",
                false,
            ),
            ("garbage", ":\n::\n0\nID\n", false),
        ];
        for (name, text, found) in cases {
            let text = text.replace("ID", ID);
            assert_eq!(id(&text).as_deref(), found.then_some(ID), "{name}");
        }
    }

    #[test]
    fn unified_path() {
        for (text, expected) in [
            ("0::/a/b\n", Some("/a/b")),
            ("3:cpu:/x\n0::/\n", Some("/")),
            ("3:cpu:/x\n", None),
            ("0::\n", None),
        ] {
            assert_eq!(unified(text), expected, "{text:?}");
        }
    }
}
