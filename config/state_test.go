package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/config"
)

func priceFaults() []fault {
	model := func(text string) string {
		return "version: 1\n" + goodBackends + "models: { gpt-4o: { " + text + ", deployments: [{ backend: azure, deployment: gpt-4o }] } }\n"
	}
	const at = "models.gpt-4o.price"
	return []fault{
		{"a price for input alone", model("§price: { input: 1 }"), "E009", at + ".output", "price has no output", ""},
		{"a price without a value", model("§price: { output: 1 }"), "E009", at + ".input", "price has no input", ""},
		{"a price as a number", model("price: §5"), "E005", at, "must be a mapping", ""},
		{"a price below zero", model("price: { input: §-1, output: 1 }"), "E006", at + ".input", "between 0 and 1000000, not -1", ""},
		{"a price past all", model("price: { input: 1, output: §1000001 }"), "E006", at + ".output", "between 0", ""},
		{"a price too fine", model("price: { input: §0.0375001, output: 1 }"), "E006", at + ".input", "three decimals", "round it to 0.038"},
		{"a price of the cache too fine", model("price: { input: 1, cached_input: §0.0005, output: 1 }"), "E006", at + ".cached_input", "three decimals", "round it"},
		{"a price of sound too fine", model("price: { input: 1, output: 1, audio_input: §0.0005 }"), "E006", at + ".audio_input", "three decimals", "round it to 0.001"},
		{"a price of cached sound below zero", model("price: { input: 1, output: 1, audio_cached: §-1 }"), "E006", at + ".audio_cached", "between 0", ""},
		{"a price of speech past all", model("price: { input: 1, output: 1, audio_output: §1000001 }"), "E006", at + ".audio_output", "between 0", ""},
		{"a price of images in words", model("price: { input: 1, output: 1, image_input: §much }"), "E005", at + ".image_input", `a number, not "much"`, ""},
		{"a price of cached images too fine", model("price: { input: 1, output: 1, image_cached: §1.0001 }"), "E006", at + ".image_cached", "three decimals", "round it to 1.000"},
		{"a price of drawings below zero", model("price: { input: 1, output: 1, image_output: §-0.5 }"), "E006", at + ".image_output", "between 0", ""},
		{"a price of sound alone", model("§price: { audio_input: 1, output: 1 }"), "E009", at + ".input", "price has no input", ""},
		{"a price in words", model("price: { input: §free, output: 1 }"), "E005", at + ".input", `a number, not "free"`, ""},
		{"a price of another kind", model("price: { §prompt: 1, input: 1, output: 1 }"), "E004", at + ".prompt", "unknown key", "known here: input"},
		{
			"a deployment's price too fine", "version: 1\n" + goodBackends + "models: { gpt-4o: { deployments: [{ backend: azure, deployment: a, price: { input: 1, output: §1.00001 } }] } }\n",
			"E006", "models.gpt-4o.deployments[0].price.output", "three decimals", "round it to 1.000",
		},
		{
			"a budget and a price nobody knows", "version: 1\n" + goodBackends + "models:\n  §mine: { deployments: [{ backend: azure, deployment: a }] }\nteams: { a: { budget: { usd: 1 } } }\n",
			"W008", "models.mine.price", `the budget of the team "a"`, "price:",
		},
		{
			"a key's budget and a price nobody knows", "version: 1\n" + goodBackends + "models:\n  §mine: { deployments: [{ backend: azure, deployment: a, price: { input: 1, output: 1 } }, { backend: azure, deployment: b }] }\n" +
				"teams: { a: { keys: [{ id: x, sha256: " + goodHash + ", budget: { usd: 1 } }] } }\n",
			"W008", "models.mine.price", `the model "mine" is not known`, "price:",
		},
	}
}

func budgetFaults() []fault {
	budget := func(text string) string { return goodHead + "teams: { a: { budget: { " + text + " } } }\n" }
	keyed := func(team, key string) string {
		return goodHead + "teams: { a: { " + team + "keys: [{ id: x, sha256: " + goodHash + ", budget: { " + key + " } }] } }\n"
	}
	const at = "teams.a.budget"
	return []fault{
		{"a budget without an amount", goodHead + "teams: { a: { §budget: { period: day } } }\n", "E009", at + ".usd", "budget has no usd", ""},
		{"a budget of nothing", budget("usd: §0"), "E006", at + ".usd", "above 0", ""},
		{"a budget below nothing", budget("usd: §-5"), "E006", at + ".usd", "above 0", ""},
		{"a budget with a sign", budget("usd: §$5"), "E005", at + ".usd", `a number, not "$5"`, ""},
		{"a budget too fine", budget("usd: §0.00000000015"), "E006", at + ".usd", "nine decimals", "round it to"},
		{"a budget a week", budget("usd: 5, period: §week"), "E007", at + ".period", "month or day", ""},
		{"a zone that is none", budget("usd: 5, zone: §Europe/Berln"), "E008", at + ".zone", `"Europe/Berln"`, "Europe/Berlin"},
		{"the zone of the machine", budget("usd: 5, zone: §Local"), "E008", at + ".zone", "no time zone", "UTC"},
		{"a zone by half a path", budget("usd: 5, zone: §../etc/passwd"), "E008", at + ".zone", "no time zone", "UTC"},
		{"an alert without its sign", budget("usd: 5, alert_at: [50%, §80]"), "E006", at + ".alert_at[1]", "at most 100%", "write 80%"},
		{"an alert at nothing", budget("usd: 5, alert_at: [§0%]"), "E006", at + ".alert_at[0]", "above 0%", ""},
		{"an alert above all", budget("usd: 5, alert_at: [§120%]"), "E006", at + ".alert_at[0]", "at most 100%", "write 1.2%"},
		{"an alert in words", budget("usd: 5, alert_at: [§half]"), "E008", at + ".alert_at[0]", `such as 80% or 0.8, not "half"`, ""},
		{"an alert twice", budget("usd: 5, alert_at: [50%, §0.5]"), "E014", at + ".alert_at[1]", "50% stands here twice", "remove one"},
		{"one alert without a list", budget("usd: 5, alert_at: §50%"), "E005", at + ".alert_at", "must be a list", ""},
		{"a mode that is none", budget("usd: 5, mode: §dry"), "E007", at + ".mode", "enforce or shadow", ""},
		{"a key's budget without an amount", goodHead + "teams: { a: { keys: [{ id: x, sha256: " + goodHash + ", §budget: { zone: UTC } }] } }\n", "E009", "teams.a.keys[0].budget.usd", "budget has no usd", ""},
		{"a key richer than its team", keyed("budget: { usd: 5 }, ", "usd: §5.5"), "W002", "teams.a.keys[0].budget.usd", "the team has 5 in the same month", "smaller"},
		{"a shadow of no limits", goodHead + "teams: { a: { limits: { mode: §shadow } } }\n", "W002", "teams.a.limits.mode", "no limit", "add rpm"},
		{"a quantile above one", goodHead + "policies: { default: { reserve_quantile: §90 } }\n", "E006", "policies.default.reserve_quantile", "between 0 and 1", ""},
		{"a quantile of bounded answers", goodHead + "policies: { default: { default_output_tokens: 5, reserve_quantile: §0.5 } }\n", "W002", "policies.default.reserve_quantile", "default_output_tokens", "remove"},
	}
}

func limitStoreFaults() []fault {
	limits := func(text string) string { return goodHead + "state: { limits: { " + text + " } }\n" }
	redis := func(url string) string { return limits("store: redis, url: §\"" + url + "\"") }
	const at = "state.limits"
	return []fault{
		{"a store that is none", limits("store: §valkey"), "E007", at + ".store", "memory or redis", ""},
		{"no Redis", goodHead + "state: { §limits: { store: redis } }\n", "E009", at + ".url", "needs a url", "REDIS_URL"},
		{"an empty Redis", redis("${EMPTY}"), "E009", at + ".url", "url is empty", "set and empty"},
		{"a Redis of another scheme", redis("http://redis:6379"), "E008", at + ".url", "redis:// or rediss://", "rediss://"},
		{"a Redis without a scheme", redis("redis:6379"), "E008", at + ".url", "not a URL with a host", "redis://HOST"},
		{"a Redis without a host", redis("redis://:6379"), "E008", at + ".url", "not a URL with a host", "redis://HOST"},
		{"a Redis that cannot be read", redis("redis://u:CANARY@redis:port/"), "E008", at + ".url", "not a URL with a host", "redis://HOST"},
		{"a Redis with a bare password", redis("redis://:CANARY#1@redis:6379"), "E008", at + ".url", "not a URL with a host", "redis://HOST"},
		{"a Redis with a fragment", redis("redis://redis:6379/#CANARY"), "E008", at + ".url", "%23", "redis://HOST"},
		{"a Redis with a named database", redis("redis://redis:6379/CANARY"), "E008", at + ".url", "number of a database", "6379/0"},
		{"a Redis at a port past all", redis("redis://redis:70000"), "E018", at + ".url", "the port of url", "redis://HOST"},
		{"a Redis that is a metadata service", redis("redis://169.254.169.254"), "E018", at + ".url", "url is a link-local or metadata", "redis://HOST"},
		{"a Redis by an expanded value", redis("${SECRET}"), "E008", at + ".url", "redis:// or rediss://", "redis://HOST"},
		{"a literal password", redis("rediss://u:CANARY@redis:6379/1"), "W001", at + ".url", "written in the file", "${NAME}"},
		{"a Redis that is not used", limits("url: §\"redis://redis\""), "W002", at + ".url", "store is memory", "store: redis"},
		{"an error of no Redis", limits("on_error: §open"), "W002", at + ".on_error", "store is memory", "store: redis"},
		{"a team's error of no Redis", goodHead + "teams: { a: { on_error: §closed } }\n", "W002", "teams.a.on_error", "store is memory", "store: redis"},
		{"an error's bad choice", goodHead + "teams: { a: { on_error: §close } }\n", "E007", "teams.a.on_error", "local or open or closed", `"closed"`},
		{"slices of memory", limits("§slice: { from: 5 }"), "W002", at + ".slice", "store is memory", "store: redis"},
		{"replicas of memory", limits("replicas: §3"), "W007", at + ".replicas", "each of the 3 replicas counts alone", "store: redis"},
		{
			"budgets of replicas that write apart", goodHead + "teams: { a: { budget: { usd: 5 } } }\nstate: { limits: { store: redis, url: \"redis://r\", replicas: 3 }, §ledger: { path: l.db } }\n",
			"W007", "state.ledger", "none knows", "PostgreSQL",
		},
		{"a short secret of ids", goodHead + "state: { secrets: [ §\"${SHORT_CANARY:-CANARY}\" ] }\n", "E016", "state.secrets[0]", "shorter than 16", "openssl"},
		{"three secrets of ids", goodHead + "state: { §secrets: [ \"CANARY0123456789\", \"CANARY1123456789\", \"CANARY2123456789\" ] }\n", "E017", "state.secrets", "at most two", "keep"},
		{"a literal secret of ids", goodHead + "state: { secrets: [ §\"CANARY0123456789\" ] }\n", "W001", "state.secrets[0]", "written in the file", "${NAME}"},
		{"no replica", limits("replicas: §0"), "E006", at + ".replicas", "between 1 and", ""},
		{"a timeout of memory", limits("timeout: §10ms"), "W002", at + ".timeout", "store is memory", "store: redis"},
		{"no timeout", limits("store: redis, url: \"redis://r\", timeout: §0s"), "E006", at + ".timeout", "between 5ms and 10s", ""},
		{"a slice of all", limits("store: redis, url: \"redis://r\", slice: { share: §0.6 }"), "E006", at + ".slice.share", "at most 0.5", ""},
		{"a slice for long", limits("store: redis, url: \"redis://r\", slice: { for: §1d }"), "E006", at + ".slice.for", "between 10ms and 10s", ""},
		{"a slice that never is", limits("store: redis, url: \"redis://r\", slice: { from: 0, share: §0.1 }"), "W002", at + ".slice.share", "from is 0", "raise from"},
	}
}

func ledgerFaults() []fault {
	ledger := func(text string) string { return goodHead + "state: { ledger: { " + text + " } }\n" }
	budget := func(text string) string {
		return goodHead + "teams: { a: { budget: { usd: 5, period: " + text + " } } }\n"
	}
	const at = "state.ledger"
	return []fault{
		{"two ledgers", ledger("path: /var/u.db, url: §\"postgres://h/d\""), "E017", at + ".url", "both path and url", "keep one"},
		{"a URL for a path", ledger("path: §\"postgres://u:CANARY@h/d\""), "E008", at + ".path", "this is a URL", "under url"},
		{"another database", ledger("url: §\"mysql://h/d\""), "E008", at + ".url", "postgres:// or postgresql://", "postgres://HOST"},
		{"no database", ledger("url: §\"postgres://h\""), "E008", at + ".url", "names no database", "postgres://HOST"},
		{"no host", ledger("url: §\"postgres:///d\""), "E008", at + ".url", "with a host", "postgres://HOST"},
		{"the second host is a metadata service", ledger("url: §\"postgres://h,169.254.169.254/d\""), "E018", at + ".url", "metadata", "postgres://HOST"},
		{"a literal password of the ledger", ledger("url: §\"postgres://u:CANARY@h/d\""), "W001", at + ".url", "written in the file", "${NAME}"},
		{"a literal password in a query", ledger("url: §\"postgres://h/d?sslpassword=CANARY\""), "W001", at + ".url", "written in the file", "${NAME}"},
		{"strict without a disk", ledger("durability: §strict"), "E017", at + ".durability", "needs a disk", "add path"},
		{"strict with an empty path", ledger("path: \"${EMPTY}\", durability: §strict"), "E017", at + ".durability", "needs a disk", "add path"},
		{"rows of a disk", ledger("path: /u.db, max_rows: §5"), "W002", at + ".max_rows", "not in memory", "remove it"},
		{"days in words", ledger("retain: §30 days"), "E008", at + ".retain", "30s, 5m or 30d", ""},
		{"days with a sign", ledger("retain: §-3d"), "E008", at + ".retain", "a duration such as", ""},
		{"days without end", ledger("retain: §4000d"), "E006", at + ".retain", "between 1h and 3650d", ""},
		{"a ledger shorter than a month", budget("month") + "state: { ledger: { path: /u.db, retain: §30d } }\n", "W010", at + ".retain", "keeps less", "32d"},
		{"a ledger shorter than a day", budget("day") + "state: { ledger: { url: \"postgres://h/d\", retain: §23h } }\n", "W010", at + ".retain", "keeps less", "2d"},
	}
}

func adminFaults() []fault {
	const open = goodHead + "server: { admin_listen: §\":8081\" }\n"
	token := func(text string) string {
		return goodHead + "server: { admin_listen: \":8081\" }\nadmin: { token: §" + text + " }\n"
	}
	hook := func(text string) string {
		return goodHead + "teams: { a: { budget: { usd: 5 } } }\ntelemetry: { alerts: { webhook: §\"" + text + "\" } }\n"
	}
	const at, webhook = "admin.token", "telemetry.alerts.webhook"
	return []fault{
		{"no token", open, "W009", "server.admin_listen", "usage and reload are refused", "WEIR_ADMIN_TOKEN"},
		{"an empty token", open + "admin: { token: \"${EMPTY}\" }\n", "W009", "server.admin_listen", "usage and reload are refused", "WEIR_ADMIN_TOKEN"},
		{"a short token", token("\"${SECRET}\""), "E016", at, "shorter than 20", "openssl"},
		{"a literal token", token("CANARY-CANARY-CANARY-CANARY"), "W001", at, "written in the file", "WEIR_ADMIN_TOKEN"},
		{"a token with a space", token("\"${LONG} ${LONG}\""), "E008", at, "spaces", "ASCII"},
		{"a short literal token on loopback", goodHead + "admin: { token: §CANARY }\n", "W001", at, "written in the file", "WEIR_ADMIN_TOKEN"},
		{"a webhook without TLS", hook("http://alerts.example/CANARY"), "E018", webhook, "loopback", "https://"},
		{"a webhook of another scheme", hook("ftp://alerts.example/CANARY"), "E008", webhook, "https:// or http://", "https://HOST"},
		{"a webhook without a host", hook("https:///CANARY?host=x"), "E008", webhook, "with a host", "https://HOST"},
		{"a webhook that is a metadata service", hook("https://metadata.google.internal/CANARY"), "E018", webhook, "webhook is a metadata service", "https://HOST"},
		{"a webhook with a token", hook("https://hooks.example/services/T0/CANARYcanary0123456789"), "W001", webhook, "written in the file", "${NAME}"},
		{"a webhook with a key", hook("https://hooks.example/x?key=CANARY"), "W001", webhook, "written in the file", "${NAME}"},
		{"a webhook with a signature", hook("https://hooks.example/x?api-version=1&sig=CANARY"), "W001", webhook, "written in the file", "${NAME}"},
		{"a webhook of no budget", goodHead + "telemetry: { alerts: { webhook: §\"https://a.example\" } }\n", "W002", webhook, "no team and no key", "add a budget"},
		{
			"a webhook of no alert", goodHead + "teams: { a: { budget: { usd: 5, alert_at: [] } } }\ntelemetry: { alerts: { webhook: §\"https://a.example\" } }\n",
			"W002", webhook, "budget with alerts", "add a budget",
		},
	}
}

// TestNoFaults has files that are close to those of TestFaults, and good.
func TestNoFaults(t *testing.T) {
	t.Parallel()
	key := "keys: [{ id: x, sha256: " + goodHash + ", "
	tests := []struct{ name, text string }{
		{"a price of nothing", strings.Replace(goodHead, "gpt-4o: {", "mine: { price: { input: 0, output: 0 },", 1) + "teams: { a: { budget: { usd: 1 } } }\n"},
		{"every deployment's price", strings.Replace(strings.Replace(goodHead, "gpt-4o: {", "mine: {", 1), "deployment: gpt-4o", "deployment: a, price: { input: 0.001, output: 1 }", 1) +
			"teams: { a: { budget: { usd: 1 } } }\n"},
		{"no price and no budget", strings.Replace(goodHead, "gpt-4o: {", "mine: {", 1)},
		{"no price for another team", strings.Replace(goodHead, "models: {", "models: { mine: { deployments: [{ backend: azure, deployment: a }] },", 1) +
			"teams: { a: { models: [gpt-4o], budget: { usd: 1 }, " + key + "}] }, b: { keys: [{ id: y, value: \"${LONG}\" }] } }\n"},
		{"a day of a month", goodHead + "teams: { a: { budget: { usd: 1 }, " + key + "budget: { usd: 5, period: day } }] } }\n"},
		{"more than a shadow", goodHead + "teams: { a: { budget: { usd: 1, mode: shadow }, limits: { rpm: 5, mode: shadow }, " + key + "limits: { rpm: 6 }, budget: { usd: 5 } }] } }\n"},
		{"a shadow below the longest answer", goodHead + "policies: { default: { max_output_tokens: 4096 } }\nteams: { a: { limits: { tpm: 4000, mode: shadow } } }\n"},
		{"a Redis with a password elsewhere", goodHead + "state: { limits: { store: redis, url: \"rediss://u:${SECRET}@redis:6379/0?read_timeout=30ms\", on_error: closed, replicas: 3 } }\nteams: { a: { on_error: open } }\n"},
		{"a Redis without a password", goodHead + "state: { limits: { store: redis, url: redis://redis:6379 } }\n"},
		{"an empty URL of memory", goodHead + "state: { limits: { url: \"${EMPTY}\" } }\n"},
		{"a cluster of databases", goodHead + "state: { ledger: { url: \"postgres://u:${SECRET}@a:5432,b:5433/usage?target_session_attrs=read-write\", durability: strict } }\n"},
		{"a database on a socket", goodHead + "state: { ledger: { url: \"postgresql:///usage?host=/run/postgresql\" } }\n"},
		{"a database in the query", goodHead + "state: { ledger: { url: \"postgres://h?dbname=usage\" } }\n"},
		{"a file by half a path", goodHead + "state: { ledger: { path: usage.db, durability: strict } }\nteams: { a: { budget: { usd: 1 } } }\n"},
		{"a month in memory", goodHead + "state: { ledger: { retain: 1h } }\nteams: { a: { budget: { usd: 1 } } }\n"},
		{"a token beyond loopback", goodHead + "server: { admin_listen: \":8081\" }\nadmin: { token: \"${LONG}\" }\n"},
		{"a short token on loopback", goodHead + "admin: { token: \"${SECRET}\" }\n"},
		{"a webhook without a secret", goodHead + "teams: { a: { budget: { usd: 1 } } }\ntelemetry: { alerts: { webhook: https://alerts.example/weir } }\n"},
		{"a webhook on loopback", goodHead + "teams: { a: { " + key + "budget: { usd: 1 } }] } }\ntelemetry: { alerts: { webhook: \"http://127.0.0.1:9000/x\" } }\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if f, problems := config.Parse("weir.yaml", []byte(tt.text), options()); f == nil || len(problems) > 0 {
				t.Errorf("problems in a good file:\n%s", texts(problems))
			}
		})
	}
}

// TestPricesOfSound reads prices of sound and images, and what they leave away.
func TestPricesOfSound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, written string
		want          config.Price
	}{
		{
			"nothing is said of the cache", "input: 1, output: 2, audio_input: 10, audio_output: 20, image_input: 5, image_output: 6",
			config.Price{Input: 1, CachedInput: 1, Output: 2, ReasoningOutput: 2, AudioInput: 10, AudioCached: 10, AudioOutput: 20, ImageInput: 5, ImageCached: 5, ImageOutput: 6},
		},
		{
			"what is cached of text has a price", "input: 1, cached_input: 0.5, output: 2, audio_input: 10, image_output: 6",
			config.Price{Input: 1, CachedInput: 0.5, Output: 2, ReasoningOutput: 2, AudioInput: 10, AudioCached: 0.5, AudioOutput: 2, ImageInput: 1, ImageCached: 0.5, ImageOutput: 6},
		},
		{
			"all of it is said", "input: 1, cached_input: 0.5, output: 2, reasoning_output: 3, audio_input: 10, audio_cached: 0, audio_output: 0, image_input: 0, image_cached: 0.25, image_output: 0",
			config.Price{Input: 1, CachedInput: 0.5, Output: 2, ReasoningOutput: 3, AudioInput: 10, ImageCached: 0.25},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, problems := config.Parse("weir.yaml", []byte(strings.Replace(goodHead, "gpt-4o: {", "gpt-4o: { price: { "+tt.written+" },", 1)), options())
			if f == nil || len(problems) > 0 {
				t.Fatal(texts(problems))
			}
			if diff := cmp.Diff(&tt.want, f.Models["gpt-4o"].Price); diff != "" {
				t.Errorf("price (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMoney reads prices and budgets, and what they leave away.
func TestMoney(t *testing.T) {
	t.Parallel()
	text := strings.Replace(goodHead, "gpt-4o: {", "gpt-4o: { price: { input: 2.5, cached_input: 0, output: 10 },", 1)
	text = strings.Replace(text, "deployment: gpt-4o }", "deployment: gpt-4o, price: { input: 0.055, output: \"${NUMBER}\", reasoning_output: 4.125 } }", 1) +
		"teams: { a: { budget: { usd: 0.000000001, period: day, zone: Europe/Berlin, alert_at: [100%, \"${NONE:-12.5%}\", 0.8], mode: shadow } } }\n"
	f, problems := config.Parse("weir.yaml", []byte(text), options())
	if f == nil || len(problems) > 0 {
		t.Fatal(texts(problems))
	}
	m := f.Models["gpt-4o"]
	if diff := cmp.Diff(&config.Price{Input: 2.5, Output: 10, ReasoningOutput: 10, AudioInput: 2.5, AudioOutput: 10, ImageInput: 2.5, ImageOutput: 10}, m.Price); diff != "" {
		t.Errorf("the model's price (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&config.Price{
		Input: 0.055, CachedInput: 0.055, Output: 12, ReasoningOutput: 4.125,
		AudioInput: 0.055, AudioCached: 0.055, AudioOutput: 12, ImageInput: 0.055, ImageCached: 0.055, ImageOutput: 12,
	}, m.Deployments[0].Price); diff != "" {
		t.Errorf("the deployment's price (-want +got):\n%s", diff)
	}
	want := config.Budget{USD: 1e-9, Period: "day", Zone: "Europe/Berlin", AlertAt: []config.Percent{0.125, 0.8, 1}, Mode: "shadow"}
	if diff := cmp.Diff(want, f.Teams["a"].Budget); diff != "" {
		t.Errorf("budget (-want +got):\n%s", diff)
	}
}

// TestStateByVariable sets secrets without a file.
func TestStateByVariable(t *testing.T) {
	t.Parallel()
	f, problems := config.FromEnvironment(config.Options{Getenv: func(name string) (string, bool) {
		v, ok := map[string]string{
			"AZURE_OPENAI_ENDPOINT": "https://a.openai.azure.com", "AZURE_OPENAI_API_KEY": "k", "WEIR_ADMIN_TOKEN": "a-token-that-is-long-enough",
			"WEIR_STATE_LIMITS_STORE": "redis", "WEIR_STATE_LIMITS_URL": "redis://:CANARY@redis", "WEIR_STATE_LEDGER_RETAIN": "1d12h",
			"WEIR_ADMIN_LISTEN": ":8081",
		}[name]
		return v, ok
	}})
	if f == nil || len(problems) > 0 {
		t.Fatal(texts(problems))
	}
	got := []any{f.Admin.Token.Reveal(), f.State.Limits.URL.Reveal(), f.State.Ledger.Retain, f.Server.AdminLocal()}
	if diff := cmp.Diff([]any{"a-token-that-is-long-enough", "redis://:CANARY@redis", 36 * time.Hour, false}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all := fmt.Sprintf("%v %+v %#v", f.State, f.Admin, *f); strings.Contains(all, "CANARY") || strings.Contains(all, "long-enough") {
		t.Errorf("a secret shows: %s", all)
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	const none = time.Duration(-1)
	tests := []struct {
		name string
		want time.Duration
	}{
		{"30d", 720 * time.Hour},
		{"1d12h", 36 * time.Hour},
		{"0d", 0},
		{"1d500ms", 24*time.Hour + 500*time.Millisecond},
		{"250ms", 250 * time.Millisecond},
		{"-1s", -time.Second},
		{"", none},
		{"d", none},
		{"30", none},
		{"1.5d", none},
		{"-1d", none},
		{"+1d", none},
		{"1d-2h", none},
		{"1d+2h", none},
		{"1d2", none},
		{"12h1d", none},
		{"1d1d", none},
		{"99999d", none},
		{"32767d2562047h", none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := config.ParseDuration(tt.name); (err != nil) != (tt.want == none) || err == nil && got != tt.want {
				t.Errorf("ParseDuration(%q) = %v, %v; want %v", tt.name, got, err, tt.want)
			}
		})
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		want config.Percent
		back string
	}{
		{"80%", 0.8, "80%"},
		{"0.8", 0.8, "80%"},
		{"12.5 %", 0.125, "12.5%"},
		{"7%", 0.07, "7%"},
		{"100%", 1, "100%"},
		{"", -1, ""},
		{"%", -1, ""},
		{"80%%", -1, ""},
		{"Inf", -1, ""},
		{"NaN%", -1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := config.ParsePercent(tt.name)
			if (err != nil) != (tt.want == -1) {
				t.Fatalf("ParsePercent(%q) = %v, %v", tt.name, got, err)
			}
			if err == nil && (got != tt.want || got.String() != tt.back) {
				t.Errorf("ParsePercent(%q) = %v, %s; want %v, %s", tt.name, float64(got), got, float64(tt.want), tt.back)
			}
		})
	}
}
