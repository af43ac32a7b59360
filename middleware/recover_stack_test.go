package middleware_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"weir/middleware"
)

// elsewhere is a panic of another goroutine.
type elsewhere struct{}

func (elsewhere) Stack() []byte { return []byte("far away") }

// TestRecoverSaysWhere holds that a panic that comes from another goroutine is logged
// with that one's stack.
func TestRecoverSaysWhere(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w := serve(get("/v1/x"), func(echo.Context) error { panic(elsewhere{}) }, nil, middleware.Recover(slog.New(slog.NewTextHandler(&log, nil))))
	if w.Code != 500 || !strings.Contains(log.String(), `stack="far away"`) {
		t.Errorf("answered %d, logged %s", w.Code, log.String())
	}
}
