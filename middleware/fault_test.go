package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"weir/middleware"
	"weir/openai"
)

// TestFaultsAreLogged holds that what a client sees as an internal error stands in the
// log with the request's id, and nothing else does.
func TestFaultsAreLogged(t *testing.T) {
	t.Parallel()
	left, leave := context.WithCancel(t.Context())
	leave()
	for _, tt := range []struct {
		name   string
		err    error
		ctx    context.Context
		logged bool
	}{
		{"none", nil, t.Context(), false},
		{"a fault", errors.New("quota: negative cost"), t.Context(), true},
		{"a fault inside", fmt.Errorf("proxy: reserving: %w", errors.New("quota: negative cost")), t.Context(), true},
		{"one that clients see", fmt.Errorf("wrapped: %w", openai.BadRequest("c", "p", "quota: negative cost")), t.Context(), false},
		{"one that clients see, and what is behind it", &openai.Error{Status: http.StatusInsufficientStorage, Fault: errors.New("quota: negative cost")}, t.Context(), true},
		{"the router's", echo.NewHTTPError(http.StatusNotFound, "quota: negative cost"), t.Context(), false},
		{"the client has left", context.Canceled, left, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			newID := func() string { return "req_1" }
			serve(get("/v1/x").WithContext(tt.ctx), func(echo.Context) error { return tt.err }, nil,
				middleware.Record(newID), middleware.Recover(slog.New(slog.NewTextHandler(&log, nil))))
			said := strings.Contains(log.String(), "msg=fault") && strings.Contains(log.String(), "negative cost") && strings.Contains(log.String(), "req_1")
			if said != tt.logged || !tt.logged && log.Len() > 0 {
				t.Errorf("logged %q", log.String())
			}
		})
	}
}
