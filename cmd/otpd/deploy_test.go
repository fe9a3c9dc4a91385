package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What operators load into Prometheus and Grafana.
const (
	alertRules     = "../../deploy/prometheus-rules.yaml"
	alertRulesTest = "../../deploy/prometheus-rules_test.yaml"
	dashboardFile  = "../../deploy/grafana.json"
)

// ruleFile is a file of rules for Prometheus.
type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type rule struct {
	Alert  string `yaml:"alert,omitempty"`
	Record string `yaml:"record,omitempty"`
	Expr   string `yaml:"expr"`
}

func readRules(tb testing.TB) (rules []rule) {
	tb.Helper()
	data, err := os.ReadFile(alertRules)
	if err != nil {
		tb.Fatal(err)
	}
	var file ruleFile
	if err := yaml.Unmarshal(data, &file); err != nil {
		tb.Fatal(err)
	}
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules
}

// dashboard is what is looked at of Grafana's model.
type dashboard struct {
	Title         string `json:"title"`
	UID           string `json:"uid"`
	ID            *int   `json:"id"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []struct {
			Name       string      `json:"name"`
			Type       string      `json:"type"`
			Datasource *datasource `json:"datasource"`
			Definition string      `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID         int         `json:"id"`
		Type       string      `json:"type"`
		Title      string      `json:"title"`
		Datasource *datasource `json:"datasource"`
		GridPos    struct {
			X int `json:"x"`
			Y int `json:"y"`
			W int `json:"w"`
			H int `json:"h"`
		} `json:"gridPos"`
		Targets []struct {
			Datasource *datasource `json:"datasource"`
			Expr       string      `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

func readDashboard(tb testing.TB) (d dashboard) {
	tb.Helper()
	data, err := os.ReadFile(dashboardFile)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(data, &d); err != nil {
		tb.Fatal(err)
	}
	return d
}

// expressions returns those of the dashboard as Grafana sends them, and those of the alerts.
func expressions(tb testing.TB) (all []string) {
	tb.Helper()
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", "otpd", "$instance", ".+")
	for _, panel := range readDashboard(tb).Panels {
		for _, target := range panel.Targets {
			all = append(all, variables.Replace(target.Expr))
		}
	}
	for _, r := range readRules(tb) {
		all = append(all, r.Expr)
	}
	return all
}

func promtool(tb testing.TB, args ...string) {
	tb.Helper()
	need(tb, "promtool")
	if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
		tb.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", alertRules)
	promtool(t, "test", "rules", alertRulesTest)
	tests, err := os.ReadFile(alertRulesTest)
	if err != nil {
		t.Fatal(err)
	}
	var unit struct {
		Tests []struct {
			Alerts []struct {
				Name string           `yaml:"alertname"`
				Want []map[string]any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal(tests, &unit); err != nil {
		t.Fatal(err)
	}
	fired := make(map[string]bool)
	for _, test := range unit.Tests {
		for _, alert := range test.Alerts {
			fired[alert.Name] = fired[alert.Name] || len(alert.Want) > 0
		}
	}
	for _, r := range readRules(t) {
		if !fired[r.Alert] {
			t.Errorf("no test has %s fire", r.Alert)
		}
	}
}

// TestExpressionsAreValid has promtool read those of the dashboard too, as rules.
func TestExpressionsAreValid(t *testing.T) {
	t.Parallel()
	group := ruleGroup{Name: "expressions"}
	for i, expr := range expressions(t) {
		group.Rules = append(group.Rules, rule{Record: fmt.Sprintf("expression_%d", i), Expr: expr})
	}
	data, err := yaml.Marshal(ruleFile{Groups: []ruleGroup{group}})
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", newFile(t, string(data)))
}

func TestDashboardCanBeImported(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	if d.Title != "otpd" || d.UID != "otpd" || d.ID != nil || d.SchemaVersion != 38 { // of Grafana 10.0
		t.Errorf("title %q, uid %q, id %v, schemaVersion %d", d.Title, d.UID, d.ID, d.SchemaVersion)
	}
	chosen := datasource{"prometheus", "${datasource}"}
	if first := d.Templating.List[0]; first.Name != "datasource" || first.Type != "datasource" {
		t.Errorf("the first variable is %+v", first)
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" && (v.Datasource == nil || *v.Datasource != chosen) {
			t.Errorf("variable %s asks %v", v.Name, v.Datasource)
		}
	}
	ids, cells := make(map[int]bool), make(map[[2]int]string)
	for _, panel := range d.Panels {
		if ids[panel.ID] {
			t.Errorf("two panels have the id %d", panel.ID)
		}
		ids[panel.ID] = true
		for x := range panel.GridPos.W {
			for y := range panel.GridPos.H {
				cell := [2]int{panel.GridPos.X + x, panel.GridPos.Y + y}
				if other, taken := cells[cell]; taken || cell[0] >= 24 {
					t.Fatalf("%s lies over %s, or beside the page", panel.Title, other)
				}
				cells[cell] = panel.Title
			}
		}
		if panel.Type == "row" {
			continue
		}
		if panel.Datasource == nil || *panel.Datasource != chosen || len(panel.Targets) == 0 {
			t.Errorf("%s asks %v", panel.Title, panel.Datasource)
		}
		for _, target := range panel.Targets {
			if target.Datasource == nil || *target.Datasource != chosen {
				t.Errorf("%s asks %v", panel.Title, target.Datasource)
			}
		}
	}
}

var (
	metricInExpr = regexp.MustCompile(`\b(?:otpd|go|process)_[a-z_]+\b`)
	labelInExpr  = regexp.MustCompile(`\b(event|operation|route|status|le)(=~?)"([^"]*)"`)
)

// TestMetricsInUseExist looks for what the dashboard and the alerts ask for in a scrape of otpd.
func TestMetricsInUseExist(t *testing.T) {
	t.Parallel()
	p := launch(t, keyVariable+"="+newKey(t), "OTP_LEDGER_MAX_ENTRIES=1")
	c := newClient(t, p.addr, nil)
	c.get(t, "200 ready", "/readyz")
	issued := c.generate(t)
	c.verify(t, "503 LEDGER_UNAVAILABLE", issued.OTP, issued.Context)             // it needs two entries
	c.post(t, "200 revoked", "/v1/otp/revoke", fields{"context": issued.Context}) // and this one
	scrape := string(newClient(t, p.admin, nil).get(t, "200", "/metrics").body)
	p = launch(t, keyVariable+"="+newKey(t), "OTP_DELIVERY_CONSOLE=true", "OTP_EVENTS_URL=http://127.0.0.1:1", "OTP_EVENTS_SECRETS="+webhookSecret)
	newClient(t, p.addr, nil).post(t, "200", "/v1/otp/send", fields{"channel": "console", "to": "you@example.com"})
	scrape += string(newClient(t, p.admin, nil).get(t, "200", "/metrics").body)

	used := 0
	text := strings.Join(expressions(t), "\n")
	for _, v := range readDashboard(t).Templating.List {
		text += "\n" + v.Definition
	}
	for _, name := range metricInExpr.FindAllString(text, -1) {
		used++
		if !strings.Contains(scrape, "\n"+name+"{") && !strings.Contains(scrape, "\n"+name+" ") {
			t.Errorf("otpd has no metric %s", name)
		}
	}
	for _, match := range labelInExpr.FindAllStringSubmatch(text, -1) {
		label, equal, value := match[1], match[2] == "=", match[3]
		if label == "route" && value == "/readyz" || label == "status" && equal {
			continue // both are in the contract
		}
		used++
		pattern := regexp.QuoteMeta(value)
		if !equal {
			pattern = "(?:" + value + ")"
		}
		if !regexp.MustCompile(label + `="` + pattern + `"`).MatchString(scrape) {
			t.Errorf("otpd has no %s %q", label, value)
		}
	}
	if used < 30 {
		t.Errorf("%d names were found: the expressions were not understood", used)
	}
	for _, family := range []string{
		"otpd_build_info", "otpd_http_requests_total", "otpd_http_request_duration_seconds", "otpd_otp_events_total",
		"otpd_ledger_operations_total", "otpd_ledger_errors_total", "otpd_ledger_duration_seconds", "otpd_ledger_entries",
	} {
		if !strings.Contains(text, family) {
			t.Errorf("nothing shows %s", family)
		}
	}
}
