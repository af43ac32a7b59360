package command

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/spf13/cobra"

	"weir/config"
	"weir/openai"
	"weir/usage"
)

// usagePatience is how long the ledger may take to add up.
const usagePatience = 30 * time.Second

// usage answers what requests add up to: GET /admin/v1/usage.
func (g *Gateway) usage(c echo.Context) error {
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return badUsage("", "The query of the URL is malformed. Write name=value pairs with & between, and percent signs as %25.")
	}
	q, wrong := newUsageQuery(values, time.Now())
	switch {
	case wrong != nil:
		return wrong
	case q.form == "" && prefersCSV(c.Request().Header.Values("Accept")):
		q.form = "csv"
	case q.form != "" && q.form != "json" && q.form != "csv":
		return badUsage("format", fmt.Sprintf("format cannot be %.60q. Use json or csv.", q.form))
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), usagePatience)
	defer cancel()
	sums, err := g.state.ledger.Usage(ctx, q.query)
	if err != nil {
		g.log.Error("usage could not be read", "reason", err.Error())
		return &openai.Error{Status: http.StatusInternalServerError, Code: openai.CodeInternal, Message: "The ledger could not be read. The gateway's log says why."}
	}
	list := newUsageList(q, sums)
	c.Response().Header().Set("Vary", "Accept")
	if q.form != "csv" {
		c.Response().Header().Set("Content-Type", "application/json")
		return writeJSON(c.Response(), list)
	}
	c.Response().Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	c.Response().Header().Set("Content-Disposition", `attachment; filename="weir-usage.csv"`)
	return writeCSV(c.Response(), list)
}

// prefersCSV reports whether a client likes CSV better than JSON.
func prefersCSV(accept []string) bool {
	var liking struct{ csv, json float64 }
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			q, _ = strconv.ParseFloat(text, 64) // what is no number is not liked
		}
		switch kind {
		case "text/csv":
			liking.csv = q
		case "application/json":
			liking.json = q
		}
	}
	return liking.csv > liking.json
}

func usageCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "usage",
		Short: "Show what requests, tokens and money were used",
		Long: "Show what requests, tokens and money were used: by team, this month, unless you say\n" +
			"otherwise.\n\n" +
			"The gateway that runs by the same configuration is asked, at its admin_listen, with\n" +
			"admin.token or WEIR_ADMIN_TOKEN. Where nobody listens there, the database that\n" +
			"state.ledger names is read, and not written. The ledger adds up by quarters of an\n" +
			"hour: the time that is shown begins and ends with one.",
		Example: "  weir usage\n" +
			"  weir usage --by team,model --since 30d\n" +
			"  weir usage --by day --team search --since 2026-03-01 --until 2026-03-31 --zone Europe/Berlin\n" +
			"  weir usage --by key --since 24h -o csv > usage.csv",
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	values := map[string]*string{}
	for name, about := range map[string]string{
		"by":         "what to tell apart, with commas between: team, key, model, deployment, and day or hour (default team)",
		"since":      "`when` it begins: so long ago, such as 30d or 12h, a day, such as 2026-03-31, or a time,\nsuch as 2026-03-31T12:00:00Z (default: this month)",
		"until":      "`when` it ends, in the same forms; a day is included (default: now)",
		"team":       "this `team` alone",
		"key":        "this `key` alone, by its id",
		"model":      "this `model` alone",
		"deployment": "this `deployment` alone, as backend/deployment",
		"zone":       "time `zone` of days and hours, such as Europe/Berlin (default UTC)",
	} {
		values[name] = cmd.Flags().String(name, "", about)
	}
	form := cmd.Flags().StringP("output", "o", "table", "table, json or csv")
	at := cmd.Flags().String("url", "", "`URL` of another admin address to ask, such as http://127.0.0.1:8081")
	// They fail only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "csv"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(groups(), cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *form != "table" && *form != "json" && *form != "csv" {
			return usageError{errors.New("--output must be table, json or csv")}
		}
		asked := url.Values{}
		for name, value := range values {
			if *value != "" {
				asked.Set(name, *value)
			}
		}
		list, err := s.findUsage(cmd.Context(), *path, *at, asked)
		if err != nil {
			return err
		}
		switch *form {
		case "json":
			return writeJSON(s.out, list)
		case "csv":
			return writeCSV(s.out, list)
		default:
			return writeTable(s.out, list)
		}
	}
	return cmd
}

// findUsage asks the gateway at an admin address, "" for the one of the
// configuration, or the database itself where nobody listens there.
func (s *streams) findUsage(ctx context.Context, path, at string, asked url.Values) (usageList, error) {
	q, wrong := newUsageQuery(asked, time.Now())
	if wrong != nil {
		return usageList{}, usageError{errors.New("--" + wrong.Message)}
	}
	f := s.configured(path)
	if f == nil {
		return usageList{}, errConfiguration
	}
	from, err := gatewayOf(f, at)
	if err != nil {
		return usageList{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, usagePatience)
	defer cancel()
	list, err := from.usage(ctx, asked)
	if at != "" || !absent(err) {
		return list, err
	}
	l := f.State.Ledger
	if l.Path == "" && l.URL == "" {
		return list, fmt.Errorf("nobody listens at %s, and state.ledger names no database to read instead: start the gateway, or name another with --url", from.at)
	}
	name := "state.ledger.url"
	if l.URL == "" {
		name = l.Path
	}
	_, _ = fmt.Fprintf(s.err, "weir: nobody listens at %s: reading the ledger itself, %s\n", from.at, name) // the answer is on the other stream
	return readUsage(ctx, l, q)
}

// mostUsage is the longest answer that is read, in bytes.
const mostUsage = 256 << 20

// usage asks what requests add up to.
func (a *asked) usage(ctx context.Context, about url.Values) (list usageList, err error) {
	body, err := a.get(ctx, "/admin/v1/usage?"+about.Encode(), mostUsage)
	if err != nil {
		return list, err
	}
	if err := json.Unmarshal(body, &list); err != nil || list.Object != "list" {
		return list, a.foreign("usage")
	}
	return list, nil
}

// readUsage reads the database of a ledger, and writes nothing.
func readUsage(ctx context.Context, l config.Ledger, q usageQuery) (list usageList, err error) {
	driver, name, dialect := "pgx", l.URL.Reveal(), usage.Postgres
	if l.URL == "" {
		driver, name, dialect = "sqlite", usage.SQLiteReaderDSN(l.Path), usage.SQLite
		if _, err := os.Stat(l.Path); err != nil {
			return list, fmt.Errorf("state.ledger.path: %w: no gateway has written there yet", err)
		}
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		return list, errors.New("state.ledger: the database cannot be opened") // the driver's error may hold the password
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	r, err := usage.OpenLedgerReader(ctx, db, dialect)
	if err != nil {
		return list, fmt.Errorf("state.ledger: %w", err)
	}
	sums, err := r.Usage(ctx, q.query)
	if err != nil {
		return list, fmt.Errorf("state.ledger: %w", err)
	}
	return newUsageList(q, sums), nil
}
