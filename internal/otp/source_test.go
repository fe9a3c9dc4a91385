package otp

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	otpcontext "github.com/otpd/otpd/internal/context"
)

func TestSourceOf(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 100)
	for _, test := range []struct{ url, category, name string }{
		{"https://dashboard.example.com/", SourceDashboard, "Dashboard"},
		{"https://DashBoard.example.com:8443/register?utm_source=x", SourceDashboard, "Dashboard"},
		{"https://dashboard", SourceDashboard, "Dashboard"},
		{"https://dashboards.example.com/", SourceWebsite, "dashboards.example.com"},
		{"https://example.com/dashboard", SourceWebsite, "example.com"},
		{"https://example.com/?next=dashboard.example.com", SourceWebsite, "example.com"},

		{"https://example.com/?utm_source=facebook&utm_campaign=spring_campaign", SourceCampaign, "Facebook - Spring Campaign"},
		{"https://example.com/?utm_campaign=SPRING-SALE&x=1&utm_source=news+letter", SourceCampaign, "News Letter - Spring Sale"},
		{"https://example.com/register?utm_source=google", SourceCampaign, "Google"},
		{"https://example.com/?utm_campaign=a%2Bb__c-%20d", SourceCampaign, "A B C D"},
		{"https://example.com/?utm_source=%C3%A9t%C3%A9", SourceCampaign, "Été"},
		{"https://example.com/?utm_source=first&utm_source=second", SourceCampaign, "First"},
		{"https://example.com/?utm_source=a%0Ab%E2%80%AEc%E2%80%A8d%FF%C2%85e", SourceCampaign, "Abcde"},
		{"https://example.com/?utm_source=" + long, SourceCampaign, "Ä" + long[2:maxSourceName]},
		{"https://example.com/?utm_source=a" + long, SourceCampaign, "A" + long[:maxSourceName-2]},
		{"https://example.com/?utm_source=" + strings.Repeat("a", 126) + "&utm_campaign=b", SourceCampaign, "A" + strings.Repeat("a", 125)},
		{"https://example.com/?utm_source=_-_&utm_campaign=%0A", SourceWebsite, "example.com"},
		{"https://example.com/?utm_source=&utm_campaign=", SourceWebsite, "example.com"},
		{"https://example.com/?utm_source=%zz", SourceWebsite, "example.com"},
		{"https://example.com/?UTM_SOURCE=facebook", SourceWebsite, "example.com"},
		{"https://example.com/#utm_source=facebook", SourceWebsite, "example.com"},

		{"https://example.com/register", SourceRegistration, "Website Registration"},
		{"https://example.com/de/Register/", SourceRegistration, "Website Registration"},
		{"https://example.com/registered", SourceWebsite, "example.com"},
		{"https://example.com/?page=/register", SourceWebsite, "example.com"},
		{"https://register.example.com/", SourceWebsite, "register.example.com"},

		{"https://www.Example.com:8443/a/b?c=d", SourceWebsite, "example.com"},
		{"http://www.www.example.com", SourceWebsite, "www.example.com"},
		{"http://wwwexample.com.", SourceWebsite, "wwwexample.com"},
		{"HTTP://127.0.0.1:3000/", SourceWebsite, "127.0.0.1"},
		{"http://[::1]:3000/", SourceWebsite, "::1"},
		{"https://b%C3%BCcher.example/", SourceWebsite, "bücher.example"},
		{"https://a%E2%80%AEb.example/", SourceWebsite, "ab.example"},
		{"https://" + strings.Repeat("a", 200) + ".example/", SourceWebsite, strings.Repeat("a", maxSourceName)},
	} {
		want := Source{URL: test.url, Category: test.category, Name: test.name}
		if got, err := sourceOf(test.url); err != nil || *got != want {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	}
}

func TestCheckSourceURL(t *testing.T) {
	t.Parallel()
	longest := "https://example.com/" + strings.Repeat("a", otpcontext.MaxSourceURL-len("https://example.com/"))
	for _, good := range []string{"", "http://a", "https://example.com/ä?b=c#d", longest} {
		if _, err := sourceOf(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for name, bad := range map[string]string{
		"a path":                       "/register",
		"a host alone":                 "example.com",
		"no scheme":                    "//example.com/",
		"another scheme":               "javascript:alert(1)//example.com",
		"a file":                       "file://example.com/a",
		"no host":                      "https:///register",
		"a port alone":                 "https://:443/",
		"an opaque one":                "https:example.com",
		"the root alone":               "https://./",
		"a host of nothing that shows": "https://%E2%80%AE/",
		"a user":                       "https://ann@example.com/",
		"a user and a password":        "https://ann:secret@example.com/",
		"an empty user":                "https://@example.com/",
		"a space in the host":          "https://exa mple.com/",
		"a bad port":                   "https://example.com:http/",
		"a bad escape":                 "https://%zz/",
		"a line break":                 "https://example.com/\n",
		"a tab before":                 "\thttps://example.com/",
		"a control character":          "https://example.com/\x7f",
		"not UTF-8":                    "https://example.com/\xff",
		"a quote":                      `https://example.com/?"`,
		"a backslash":                  `https://example.com/?\`,
		"too long":                     longest + "a",
	} {
		_, err := sourceOf(bad)
		field, ok := errors.AsType[*FieldError](err)
		if !ok || field.Field != "source_url" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzSourceOf(f *testing.F) {
	for _, seed := range []string{
		"https://dashboard.example.com/", "https://example.com/?utm_source=facebook&utm_campaign=spring_campaign",
		"https://www.example.com:8443/register", "http://[fe80::1%25a%E2%80%AE]/", "https://%C7%85/?utm_source=%C7%85a%FF",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		source, err := sourceOf(text)
		if source == nil || err != nil {
			return
		}
		if source.URL != text || !slices.Contains(SourceCategories, source.Category) {
			t.Errorf("%+v", source)
		}
		notShown := func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }
		if n := len(source.Name); n == 0 || n > maxSourceName || !utf8.ValidString(source.Name) || strings.ContainsFunc(source.Name, notShown) {
			t.Errorf("the name %q", source.Name)
		}
	})
}
