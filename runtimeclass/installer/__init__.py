"""Puts Tandem on a node and takes it off again: `python -m runtimeclass.installer STAGE`.

Stages, each of them idempotent, and resumed by the same call after any interruption:

    check       says what `install` would do and what is in its way; changes nothing
    install     copies the bundle, offers the handler `tandem` to containerd, starts tandemd,
                restarts containerd if it must, proves that a guest runs, labels the node
    verify      proves the same of an installation that is there, changes nothing
    uninstall   takes all of it back; refuses while pods of Tandem's run, or waits (--wait)
    stay        does nothing until SIGTERM, in some 10 MB: the DaemonSet's container that stays

The last line on stdout says how it ended, and so does /dev/termination-log where that is there;
stderr has the events, a line each. The exit statuses are those of `errors.STATUSES`:

    0 it worked                      5 the node does not let us write, or has no room: rolled back
    1 a fault of the installer's     6 containerd did not take the change: rolled back
    2 wrong command line             7 rolling back failed, too: the text says what to do by hand
    3 the node is not one that we    8 pods of Tandem's run, nothing was removed
      can change, nothing changed    9 no guest runs: rolled back (`verify`: nothing changed)
    4 the bundle is not whole,      10 installed and proved, but the node could not be labelled
      nothing changed               11 another installer is at work
                                   143 ended by SIGTERM between two steps; the next call goes on

What it reads and writes. All paths are below --root, where the node's root directory is seen (the
DaemonSet mounts only these, by hostPath, at the same places below /host):

    read    /proc                    containerd's command line (that of any user may be read), and
                                     which versions are in use. Without it: a containerd in one of
                                     the known places, old versions stay while tandemd or pods run,
                                     and a tandemd that a pod's start brought up cannot be ended
    read    containerd's socket      CRI and containerd's own gRPC; the directory is mounted, since
                                     a restart makes the socket anew: /run/containerd, or /run/k3s,
                                     /run/k0s, /var/snap/microk8s/common/run
    read    /run/systemd/private     systemd's own D-Bus, else /run/dbus/system_bus_socket: reloads
                                     units, restarts containerd's and tandemd's. Mount the
                                     directory /run/systemd. Not needed with --restart-command
    write   /opt/tandem              VERSION (the bundle), `current` (a link), install (our state)
    write   containerd's config      one directory: /etc/containerd, or
                                     /var/lib/rancher/{k3s,rke2}/agent/etc/containerd, or
                                     /etc/k0s/containerd.d (and /etc/k0s, read), or
                                     /var/snap/microk8s/current/args
    write   /usr/local/bin           one link, containerd-shim-tandem-v1, where containerd looks for
                                     it; not needed where that is read-only (see `layouts`)
    write   /etc/systemd/system      tandemd.service and its link in multi-user.target.wants
    write   /etc/tandem              config.toml only if there is none and --config gives one;
                                     handler.toml only for containerd 1.6 with systemd cgroups
    write   /run/tandem              only `uninstall`; read before: whose pods run
    write   /var/lib/tandem          only `uninstall`: the cache of compiled modules

A directory that is itself a mount of the container stays behind, empty, and the summary says so;
where its parent is mounted, it goes, too. User 0 of the host, no capability (CHOWN where a file
that is changed is not of group 0, as microk8s' are), no privileged mode, no hostNetwork or hostIPC;
neither nsenter nor chroot. hostPID only where no systemd is: there a tandemd that a launcher has
started must be ended for an upgrade, and --restart signal needs it. The API server is asked for one
thing: PATCH of the label on the own node (NODE_NAME, the service account's token).

State, in /opt/tandem/install, mode 0700, every file replaced by rename and synced:

    journal.json    {"format": 1,
                     "version": the directory that was installed and proved last, or "",
                     "changes": [CHANGE, ...], which lead back to the node before Tandem,
                     "operation": null, or what is under way or broke off:
                         {"stage": "install" or "uninstall", "version": of which directory,
                          "restart": whether containerd has yet to be restarted for it,
                          "undo": [CHANGE, ...], which lead back to where it began,
                          "changes": those of then}}
    CHANGE          {"path", "kind": "file", "link", "directory" or "tree", "step",
                     "before": STATE, "after": [STATE, ...], all that we ever put there}
    STATE           {"digest": SHA-256 of a file, "mode", "owner": [uid, gid], "target": of a link};
                     neither digest nor target: nothing is there
    backup/DIGEST   what a changed file was before, byte for byte
    proof/          the root directory of the guest that proves that guests run; only meanwhile
    spare           64 KiB, given back when something fails: a full disk has room for the way back
    lock            held (flock) while an installer works

A change stands in the journal before it is made. So whatever is interrupted, a path is either as
`before` says, or as `after` says, or somebody else's: then only our part of it is taken out.
"""
