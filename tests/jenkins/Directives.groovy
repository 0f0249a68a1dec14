/** What stands inside options, agent, environment and when; each is evaluated when its stage is entered. */
class Directives {
  // Groovy resolves no nested class of another file that is compiled along, so these make them.
  static Object options(Player player, boolean ofPipeline) { new Options(player, ofPipeline) }
  static Object agent(Player player) { new Agent(player) }
  static Object environment(Player player) { new Environment(player) }
  static Object when(Player player) { new When(player) }

  /** Gives directives the globals of a pipeline script: env, params, and the environment's variables by name. */
  static class Globals {
    final Player player

    Globals(Player player) { this.player = player }

    Object getEnv() { player.env }
    Object getParams() { player.params }
  }

  static class Options extends Globals {
    static final PIPELINE_ONLY = ['buildDiscarder', 'disableConcurrentBuilds', 'disableRestartFromStage', 'disableResume',
                                  'preserveStashes', 'quietPeriod']
    static final ANYWHERE = ['skipDefaultCheckout', 'timestamps']
    final Map<String, Object> plain = [:]
    final List<List> wrapping = [] // [name, arguments], the first one outermost
    final boolean ofPipeline

    Options(Player player, boolean ofPipeline) {
      super(player)
      this.ofPipeline = ofPipeline
    }

    Object invokeMethod(String name, Object arguments) {
      def first = arguments ? (arguments as Object[])[0] : null
      if (name == 'logRotator') return first
      if (name in ['timeout', 'lock']) {
        wrapping << [name, first]
      } else {
        Specification.require(name in ANYWHERE || (ofPipeline && name in PIPELINE_ONLY), "no option $name here")
        plain[name] = first
      }
      null
    }
  }

  static class Agent extends Globals {
    String name

    Agent(Player player) { super(player) }

    void label(CharSequence value) { name = value.toString() }
  }

  static class Environment extends Globals {
    final Map<String, String> found = [:]

    Environment(Player player) { super(player) }

    void setProperty(String name, Object value) {
      Specification.require(value instanceof CharSequence, "environment: $name is no string")
      found[name] = value.toString()
    }
  }

  /** Conditions of `when`; several at one level must all hold. */
  static class When extends Globals {
    final List<Boolean> found = []

    When(Player player) { super(player) }

    boolean all() { found.every() }

    void expression(Closure body) { found << (player.callInScript(body) as boolean) }
    void branch(String pattern) { found << (player.build.branch && matches(pattern, player.build.branch)) }
    void tag(String pattern) { found << (player.build.tag && matches(pattern, player.build.tag)) }
    void buildingTag() { found << (player.build.tag as boolean) }
    void changeRequest() { found << (player.build.changeRequest as boolean) }
    void not(Closure body) { found << !inner(body).all() }
    void anyOf(Closure body) { found << inner(body).found.any() }
    void allOf(Closure body) { found << inner(body).all() }

    void environment(Map arguments) {
      found << (player.environment()[arguments.name] == arguments.value)
    }

    private When inner(Closure body) {
      def nested = new When(player)
      Specification.evaluate(body, nested)
      nested
    }

    private static boolean matches(String pattern, String name) {
      name ==~ pattern.split(/\*/, -1).collect { java.util.regex.Pattern.quote(it) }.join('[^/]*')
    }
  }
}
