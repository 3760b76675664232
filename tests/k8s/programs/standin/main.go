// Stands in for the node image's installer where the manifests themselves are tested: same path, same words, nothing
// installed. It holds the container that the DaemonSet gives it to what the manifests promise, and labels the node by
// the one request that they allow.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	account = "/var/run/secrets/kubernetes.io/serviceaccount"
	marker  = "/host/opt/tandem-stand-in"
)

// What the installer writes below, on one kind of node or another.
var writable = []string{"/host/opt", "/host/etc", "/host/var/lib", "/host/run", "/host/usr/local/bin"}

func main() {
	var err error
	switch verb := os.Args[1]; verb {
	case "install":
		err = first(asPromised, func() error { return os.WriteFile(marker, nil, 0o600) }, func() error { return label(`"true"`) })
	case "uninstall":
		err = first(asPromised, func() error { return label("null") }, func() error { return os.Remove(marker) })
	case "stay":
		err = stay()
	default:
		err = fmt.Errorf("no verb %q", verb)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("done:", strings.Join(os.Args[1:], " "))
}

func first(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// CHOWN is the first of all.
func capabilities(set string) string { return set + ":\t0000000000000001" }

func asPromised() error {
	if os.Getuid() != 0 {
		return fmt.Errorf("user %d, and not the owner of the node's files", os.Getuid())
	}
	if os.Getpid() != 1 {
		return fmt.Errorf("the node's processes are seen")
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for _, line := range []string{capabilities("CapEff"), capabilities("CapBnd"), "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), line) {
			return fmt.Errorf("/proc/self/status has no %q", line)
		}
	}
	if err := os.WriteFile("/written", nil, 0o600); err == nil {
		return fmt.Errorf("the root file system is writable")
	}
	for _, place := range writable {
		name := filepath.Join(place, ".tandem-stand-in")
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			return err
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	if _, err := os.ReadFile("/host/proc/1/cmdline"); err != nil {
		return err
	}
	if err := os.WriteFile("/host/proc/sys/kernel/hostname", []byte("x"), 0o600); err == nil {
		return fmt.Errorf("the node's /proc is writable")
	}
	if _, err := os.Stat("/host/root"); err == nil {
		return fmt.Errorf("more of the node is seen than is mounted")
	}
	return nil
}

func label(value string) error {
	authorities, err := os.ReadFile(account + "/ca.crt")
	if err != nil {
		return err
	}
	token, err := os.ReadFile(account + "/token")
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authorities)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	server := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	address := "https://" + server + "/api/v1/nodes/" + os.Getenv("NODE_NAME")
	body := fmt.Sprintf(`{"metadata":{"labels":{"io.containerd.tandem.v1/ready":%s}}}`, value)
	request, err := http.NewRequest(http.MethodPatch, address, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	request.Header.Set("Content-Type", "application/merge-patch+json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, answer)
	}
	return err
}

func stay() error {
	for _, place := range []string{account, "/host"} {
		if _, err := os.Stat(place); err == nil {
			return fmt.Errorf("%s is seen by the container that stays", place)
		}
	}
	if os.Getuid() == 0 {
		return fmt.Errorf("the container that stays is root's")
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
	return nil
}
