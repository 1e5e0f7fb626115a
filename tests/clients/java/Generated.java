package javax.annotation;

/** The annotation of generated classes, which older Java versions had. */
public @interface Generated {
  String value();

  String comments() default "";
}
