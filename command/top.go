package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weir/config"
	"weir/dashboard"
)

func topCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show what a gateway does, once a second",
		Long: "Show what a gateway does, once a second, until Ctrl-C: what the dashboard's overview\n" +
			"shows.\n\n" +
			"The gateway that runs by the same configuration is asked, at its admin_listen, with\n" +
			"admin.token or WEIR_ADMIN_TOKEN. Where the output is no terminal, or NO_COLOR is\n" +
			"set, there are no colors.",
		Example: "  weir top\n  weir top --url http://127.0.0.1:8081\n  weir top --once",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	at := cmd.Flags().String("url", "", "`URL` of another admin address to ask, such as http://127.0.0.1:8081")
	token := cmd.Flags().String("token", "", "admin `token`, where admin.token is not the one (default: $WEIR_ADMIN_TOKEN)")
	once := cmd.Flags().Bool("once", false, "print what there is and end")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f := s.configured(*path)
		if f == nil {
			return errConfiguration
		}
		from, err := gatewayOf(f, *at)
		if err != nil {
			return err
		}
		if *token != "" {
			from.token = config.Secret(*token)
		}
		return s.top(cmd.Context(), from, *once)
	}
	return cmd
}

// mostStats is the longest overview that is read, in bytes.
const mostStats = 64 << 20

// stats asks for the overview.
func (a *asked) stats(ctx context.Context) (st dashboard.Stats, err error) {
	body, err := a.get(ctx, dashboard.API+"stats", mostStats)
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(body, &st); err != nil || st.Object != "weir.stats" {
		return st, a.foreign("an overview")
	}
	return st, nil
}

// What a terminal is told: to show another screen and no cursor, and what it showed
// before again.
const (
	otherScreen = "\x1b[?1049h\x1b[?25l"
	ownScreen   = "\x1b[?25h\x1b[?1049l"
	fromTop     = "\x1b[H"
	eraseLine   = "\x1b[K"
	eraseBelow  = "\x1b[J"
)

// top draws the overview once a second until ctx is done or a signal comes. The
// first question must be answered; of later ones it says that they were not.
func (s *streams) top(ctx context.Context, from *asked, once bool) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	st, err := from.stats(ctx)
	if err != nil {
		return err
	}
	look := s.look()
	if once {
		return s.print(look.draw(st, ""))
	}
	if look.terminal {
		if err := s.print(otherScreen); err != nil {
			return err
		}
		defer func() { _ = s.print(ownScreen) }() // there is no other way to say that this failed
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for problem := ""; ; {
		if err := s.print(look.frame(look.draw(st, problem))); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		look = s.look() // it may have another width
		next, err := from.stats(ctx)
		problem = ""
		if err == nil {
			st = next
		} else if ctx.Err() == nil {
			problem = err.Error()
		}
	}
}

func (s *streams) print(text string) error {
	if _, err := io.WriteString(s.out, text); err != nil {
		return fmt.Errorf("writing the overview: %w", err)
	}
	return nil
}

// look returns how the output is to be drawn.
func (s *streams) look() look {
	l := look{width: screen}
	out, ok := s.out.(*os.File)
	if !ok {
		return l
	}
	if info, err := out.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return l
	}
	if os.Getenv("TERM") == "dumb" { // it would show what others obey
		return l
	}
	l.terminal, l.color = true, os.Getenv("NO_COLOR") == ""
	if width, height, ok := windowSize(out); ok {
		l.width, l.height = width, height
	}
	return l
}
