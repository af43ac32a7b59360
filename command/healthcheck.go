package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"weir/config"
)

func healthcheckCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running gateway whether it takes requests",
		Long: "Ask the gateway that runs by the same configuration whether it takes requests: GET\n" +
			"/readyz at its admin_listen. The exit code is 3 where it does not.",
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	at := cmd.Flags().String("url", "", "`URL` to ask instead")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return s.healthcheck(cmd.Context(), *path, *at) }
	return cmd
}

// patience is how long a gateway may take to say that it is well.
const patience = 5 * time.Second

func (s *streams) healthcheck(ctx context.Context, path, at string) error {
	if at == "" {
		at = "http://" + reachable(adminListen(path)) + "/readyz"
	}
	if !callable(at) {
		return usageError{errors.New("--url must be a URL such as http://127.0.0.1:8081/readyz")}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return usageError{fmt.Errorf("--url: %w", err)}
	}
	transport := &http.Transport{DisableKeepAlives: true} // and no proxy
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnhealthy, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing is read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s answered %d", errUnhealthy, at, resp.StatusCode)
	}
	_, _ = fmt.Fprintln(s.out, "ok") // the exit code says it too
	return nil
}

// bare is a configuration of which only the defaults matter, and what the
// environment says beside them.
const bare = `
version: 1
backends: { none: { endpoint: "https://127.0.0.1", auth: { api_key: none } } }
models: { none: { deployments: [{ backend: none, deployment: none }] } }
teams: { none: { keys: [{ id: none, sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef }] } }
`

// adminListen returns where the gateway's health is asked for. A file that has
// been spoiled since the gateway started must not make it look ill.
func adminListen(path string) string {
	if f, _, _ := read(path); f != nil {
		return f.Server.AdminListen
	}
	if f, _ := config.Parse("defaults", []byte(bare), config.Options{Getenv: os.LookupEnv}); f != nil {
		return f.Server.AdminListen
	}
	return ""
}

// reachable returns an address to call for one to listen at, where every
// interface stands for this machine.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
