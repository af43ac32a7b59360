package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"weir/config"
)

// asked is a gateway that is asked how it fares.
type asked struct {
	at        string // where it begins: scheme, host and port
	token     config.Secret
	transport *http.Transport
}

// gatewayOf returns the gateway at an admin address, "" for that of the
// configuration, with the token of the configuration.
func gatewayOf(f *config.File, at string) (*asked, error) {
	if at == "" {
		at = "http://" + reachable(f.Server.AdminListen)
	} else if !callable(at) {
		return nil, usageError{errors.New("--url must be a URL such as http://127.0.0.1:8081")}
	}
	return &asked{at: strings.TrimSuffix(at, "/"), token: f.Admin.Token, transport: &http.Transport{}}, nil // with no proxy
}

// callable reports whether a text is a URL that a gateway can be asked at.
func callable(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// get asks for what is at a path below the address, and follows no redirect. An
// answer of more than most bytes is cut.
func (a *asked) get(ctx context.Context, path string, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, usagePatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.at+path, nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("--url: %w", err)}
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	}
	resp, err := a.transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", a.at, err)
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", a.at, err)
	}
	if resp.StatusCode == http.StatusOK {
		return body, nil
	}
	var said struct{ Error struct{ Message string } }
	if json.Unmarshal(body, &said) != nil || said.Error.Message == "" {
		return nil, fmt.Errorf("%s answered %d: is it the admin address of a gateway?", a.at, resp.StatusCode)
	}
	return nil, fmt.Errorf("%s answered %d: %s", a.at, resp.StatusCode, printable(clip(said.Error.Message, 500)))
}

// foreign says that an answer is none of a gateway's.
func (a *asked) foreign(wanted string) error {
	return fmt.Errorf("%s answered something else than %s: is it the admin address of a gateway?", a.at, wanted)
}

// configured returns the configuration that a gateway here runs by, as far as it can
// be told, and says so where it cannot.
func (s *streams) configured(path string) *config.File {
	f, _, source := read(path)
	if f != nil {
		return f
	}
	if found, _ := chosen(path); found != "" {
		_, _ = fmt.Fprintf(s.err, "weir: %s has errors, which weir validate shows: asking at the default address\n", source) // and then comes the answer
	}
	f, _ = config.Parse("defaults", []byte(bare), config.Options{Getenv: os.LookupEnv})
	return f
}

// absent reports whether nobody was reached.
func absent(err error) bool {
	dialing, ok := errors.AsType[*net.OpError](err)
	return ok && dialing.Op == "dial"
}
