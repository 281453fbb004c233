// Evaluates the admission policies of hack/kubernetes/policies with the admission plugins of a real API server, as a library:
// the code that compiles, matches and evaluates them there. There is no HTTP and no storage, and nothing sets defaults.
//
//	main POLICIES CASES
//
// CASES is a list in YAML. The exit status is 1 if a case ends otherwise than it should.
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/discovery"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/openapi"
	"k8s.io/client-go/openapi/openapitest"
	"sigs.k8s.io/yaml"
)

type testCase struct {
	Name        string
	Namespace   string            // "plain" if left out; "required" and "kube-system" are there too
	Settings    map[string]string // laid over the ConfigMap; null: there is no ConfigMap
	NoSettings  bool
	Operation   string // CREATE if left out
	Subresource string
	Pod         *corev1.Pod
	Old         *corev1.Pod
	Binding     *corev1.Binding
	Webhook     map[string]string // labels that a webhook adds after the first round
	Denied      string            // part of the message; admitted if left out
	Job         string            // what the pod's job is in the end
}

// A client whose schemas are those of the library.
type client struct{ kubernetes.Interface }
type schemas struct{ discovery.DiscoveryInterface }

func (c client) Discovery() discovery.DiscoveryInterface { return schemas{c.Interface.Discovery()} }
func (schemas) OpenAPIV3() openapi.Client                { return openapitest.NewEmbeddedFileClient() }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// The objects of all manifests in a directory.
func manifests(dir string) []runtime.Object {
	var objects []runtime.Object
	for _, file := range must(filepath.Glob(filepath.Join(dir, "*.yaml"))) {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(must(os.ReadFile(file)))))
		for {
			document, err := documents.Read()
			if err == io.EOF {
				break
			}
			object, _, err := scheme.Codecs.UniversalDeserializer().Decode(must(document, err), nil, nil)
			objects = append(objects, must(object, err))
		}
	}
	return objects
}

func run(objects []runtime.Object, one testCase) (*corev1.Pod, error) {
	stop := make(chan struct{})
	defer close(stop)
	all := []runtime.Object{}
	for name, labels := range map[string]map[string]string{
		"plain": {}, "kube-system": {}, "required": {"io.oci-isolate.require": "true"},
	} {
		labels["kubernetes.io/metadata.name"] = name
		all = append(all, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
	}
	for _, object := range objects {
		if settings, ok := object.(*corev1.ConfigMap); ok {
			if one.NoSettings {
				continue
			}
			settings = settings.DeepCopy()
			for key, value := range one.Settings {
				settings.Data[key] = value
			}
			object = settings
		}
		all = append(all, object)
	}
	api := client{fake.NewSimpleClientset(all...)}
	factory := informers.NewSharedInformerFactory(api, 0)
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Version: "v1"}})
	mapper.Add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	initialize := initializer.New(api, dynamicfake.NewSimpleDynamicClient(scheme.Scheme), factory,
		authorizerfactory.NewAlwaysAllowAuthorizer(), utilfeature.DefaultFeatureGate,
		compatibility.DefaultBuildEffectiveVersion(), stop, mapper)
	mutate, validate := must(mutating.NewPlugin(nil)), must(validating.NewPlugin(nil))
	initialize.Initialize(mutate)
	initialize.Initialize(validate)
	for _, plugin := range []admission.InitializationValidator{mutate, validate} {
		if err := plugin.ValidateInitialization(); err != nil {
			panic(err)
		}
	}
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	for !mutate.WaitForReady() || !validate.WaitForReady() {
		time.Sleep(time.Millisecond)
	}

	namespace, operation := one.Namespace, admission.Operation(one.Operation)
	if namespace == "" {
		namespace = "plain"
	}
	if operation == "" {
		operation = admission.Create
	}
	kind, resource := "Pod", "pods"
	var object, old runtime.Object
	if one.Binding != nil {
		kind, object = "Binding", one.Binding
	} else {
		one.Pod.Namespace = namespace
		object = one.Pod
	}
	if one.Old != nil {
		one.Old.Namespace = namespace
		old = one.Old
	}
	var options runtime.Object = &metav1.CreateOptions{}
	if operation == admission.Update {
		options = &metav1.UpdateOptions{}
	}
	attributes := admission.NewAttributesRecord(object, old, corev1.SchemeGroupVersion.WithKind(kind), namespace, "pod",
		corev1.SchemeGroupVersion.WithResource(resource), one.Subresource, operation, options, false,
		&user.DefaultInfo{Name: "tenant"})
	interfaces := admission.NewObjectInterfacesFromScheme(scheme.Scheme)
	// As an API server does: all that mutates, what mutates again since a webhook changed something, all that validates.
	for round := range 2 {
		again := attributes
		if round == 1 && one.Webhook != nil {
			for key, value := range one.Webhook {
				one.Pod.Labels[key] = value
			}
			attributes.GetReinvocationContext().SetShouldReinvoke()
			attributes.GetReinvocationContext().SetIsReinvoke()
		} else if round == 1 {
			break
		}
		if err := mutate.Admit(context.Background(), again, interfaces); err != nil {
			return one.Pod, err
		}
	}
	return one.Pod, validate.Validate(context.Background(), attributes, interfaces)
}

func main() {
	objects := manifests(os.Args[1])
	var cases []testCase
	if err := yaml.UnmarshalStrict(must(os.ReadFile(os.Args[2])), &cases); err != nil {
		panic(err)
	}
	failed := 0
	for _, one := range cases {
		pod, err := run(objects, one)
		said := "admitted"
		if err != nil {
			said = err.Error()
		}
		well := err == nil && one.Denied == "" || err != nil && one.Denied != "" && strings.Contains(said, one.Denied)
		if well && pod != nil && one.Job != "" {
			_, left := pod.Annotations["io.oci-isolate.job-from"]
			job, label := pod.Annotations["io.oci-isolate.job"], pod.Labels["io.oci-isolate.job"]
			well = !left && job == one.Job && label == one.Job
			said = fmt.Sprintf("%s, job %q, label %q", said, job, label)
		}
		mark := "ok  "
		if !well {
			mark, failed = "FAIL", failed+1
		}
		fmt.Printf("%s %s: %s\n", mark, one.Name, said)
	}
	fmt.Printf("%d passed, %d failed\n", len(cases)-failed, failed)
	if failed > 0 || len(cases) == 0 {
		os.Exit(1)
	}
}
