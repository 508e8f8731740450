// Renders the templates of ../templates.txt with Go's text/template, and prints one line of JSON for each: what came out,
// or what Go says is wrong. The data is that of ../table.rs.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type Parallelism struct {
	Tensor *int32
	Expert bool
}

func (p *Parallelism) Size() int { return 2 }

type Spec struct {
	Name        string
	Replicas    *int32
	Parallelism *Parallelism
	Missing     *Parallelism
	Labels      map[string]string
	Nil         map[string]string
	Args        []string
}

type Root struct {
	Spec Spec
	Any  any
}

var document = `{"s":"text","e":"","n":5,"f":1.5,"t":true,"z":false,"nil":null,"html":"<a href='x'>\"&\"</a>",
"list":[1,2,3],"words":["b","a","c"],"empty":[],"map":{"k":"v","a":"b"},"none":{},"deep":{"x":{"y":{"z":1}}},
"mixed":[1,"x",true,null,{"a":1}],"big":1e21,"small":1e-7,"unicode":"héllo 世界"}`

func main() {
	var data map[string]any
	if err := json.Unmarshal([]byte(document), &data); err != nil {
		panic(err)
	}
	two := int32(2)
	typed := Root{Spec: Spec{Name: "svc", Replicas: &two, Parallelism: &Parallelism{Expert: true},
		Labels: map[string]string{"a": "b"}, Args: []string{"x", "y"}}, Any: data}
	funcs := template.FuncMap{
		"join":  func(list []string, by string) string { return strings.Join(list, by) },
		"add":   func(a, b int) int { return a + b },
		"fail":  func() (string, error) { return "", fmt.Errorf("on purpose") },
		"greet": func(words ...string) string { return "hi " + strings.Join(words, "+") },
		"isNil": func(p *Parallelism) bool { return p == nil },
	}
	lines, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	scanner := bufio.NewScanner(lines)
	for scanner.Scan() {
		line := scanner.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		option, quoted, _ := strings.Cut(line, " ")
		var text string
		if err := json.Unmarshal([]byte(quoted), &text); err != nil {
			panic(quoted)
		}
		var root any = data
		if strings.HasPrefix(option, "typed") {
			root = typed
		}
		missing := "missingkey=default"
		switch {
		case strings.HasSuffix(option, "error"):
			missing = "missingkey=error"
		case strings.HasSuffix(option, "zero"):
			missing = "missingkey=zero"
		}
		result := map[string]string{"case": line}
		parsed, err := template.New("t").Funcs(funcs).Option(missing).Parse(text)
		if err != nil {
			result["error"] = err.Error()
		} else {
			var b strings.Builder
			if err := parsed.Execute(&b, root); err != nil {
				result["error"] = err.Error()
			} else {
				result["out"] = b.String()
			}
		}
		if err := out.Encode(result); err != nil {
			panic(err)
		}
	}
}
