package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"weir/config"
)

// The bounds on what a client may send before its body.
const (
	readHeader = 10 * time.Second
	idle       = 120 * time.Second
	maxHeader  = 16 << 10
)

// NewServer returns a server of h with the bounds on what a client may send, and on
// how long it may take to: a body that no handler reads must be there by then.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: readHeader, ReadTimeout: readHeader, IdleTimeout: idle, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// listen opens an address: host:port, or unix:/path, where a socket that nobody
// listens at is replaced.
func listen(ctx context.Context, at, setting string) (net.Listener, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(at, "unix:"); ok {
		network, at = "unix", path
		dialer := net.Dialer{Timeout: time.Second}
		if c, err := dialer.DialContext(ctx, network, path); err == nil {
			_ = c.Close() // somebody is there: listening will fail and say so
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(path) // if it cannot be removed listening will fail and say so
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network, at)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is in use by another process: stop it, or choose another address", setting, at)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return l, nil
}

func address(l net.Listener) string {
	if a, ok := l.Addr().(*net.UnixAddr); ok {
		return "unix:" + a.Name
	}
	return l.Addr().String()
}

// certificates returns a TLS configuration that reads its files again when they
// have changed.
func certificates(f config.TLS) *tls.Config {
	var mu sync.Mutex
	var cert *tls.Certificate
	var read time.Time
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			mu.Lock()
			defer mu.Unlock()
			changed, err := lastChange(f.CertFile, f.KeyFile)
			if cert != nil && (err != nil || !changed.After(read)) {
				return cert, nil
			}
			fresh, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
			if err != nil && cert == nil {
				return nil, fmt.Errorf("server.tls: %w", err)
			}
			if err == nil {
				cert, read = &fresh, changed
			}
			return cert, nil
		},
	}
}

// lastChange returns when the younger of the files was written.
func lastChange(files ...string) (time.Time, error) {
	var last time.Time
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return last, fmt.Errorf("server.tls: %w", err)
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, nil
}
